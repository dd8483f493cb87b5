"""The declaration of HTTP functions, the parsing of their requests and their responses."""

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any, TypeVar, get_type_hints

import azure.functions as func
import msgspec
from azure.core.exceptions import AzureError

from realtime import process
from realtime.azure import telemetry
from realtime.decoding import decode
from realtime.errors import ApiError, service_unavailable
from realtime.settings import InvalidSettingsError

MAX_BODY_BYTES = 256 * 1024
"""The longest body that is parsed; the longest message, escaped, has a tenth of it."""

Handler = Callable[..., Awaitable[Any]]
T = TypeVar("T")

log = logging.getLogger(__name__)


class Access(Enum):
    """Who may call a function; the value is the tag in the API document."""

    PUBLIC = "Public"
    SESSION = "Session"
    SERVER = "Server"

    @property
    def level(self) -> func.AuthLevel:
        return func.AuthLevel.FUNCTION if self is Access.SERVER else func.AuthLevel.ANONYMOUS

    @property
    def errors(self) -> tuple[str, ...]:
        """The error codes of authentication; the platform itself verifies function keys."""
        return ("unauthenticated", "banned", "forbidden") if self is Access.SESSION else ()


class Endpoint(msgspec.Struct, frozen=True):
    """The declaration of an HTTP function. A type is None if there is nothing of the kind.

    `query` and `body` are parsed before the handler is called; `request` is what the handler
    parses by itself, from either. A handler with `raw` returns the whole HTTP response.
    `errors` are all error codes that the function may return.
    """

    name: str
    methods: tuple[str, ...]
    route: str
    access: Access
    description: str
    query: type | None
    body: type | None
    response: type | None
    request: type | None
    raw: bool
    errors: frozenset[str]
    documented: bool


endpoints: list[Endpoint] = []
"""Every HTTP function of the app, in the order of declaration."""


def endpoint(
    bp: func.Blueprint,
    methods: str,
    route: str,
    access: Access,
    *,
    request: type | None = None,
    response: type | None = None,
    errors: str = "",
    documented: bool = True,
    head: bool = False,
) -> Callable[[Handler], Any]:
    """Declare an HTTP function; several methods are separated by a space.

    The handler takes the request and, if it has parameters `query` and `body`, structs that are
    parsed and validated before. It returns a struct, or an HTTP response (then `response` names
    the struct in it). ApiError becomes the error object; `errors` lists the codes that the handler
    itself may raise, separated by spaces: those of authentication and parsing are added. A function
    that is not `documented` is left out of the API document. With `head` it answers HEAD as GET;
    the platform sends no body then.
    """

    def declare(handler: Handler) -> Any:
        hints = get_type_hints(handler)
        raw = hints["return"] is func.HttpResponse
        query, body = hints.get("query"), hints.get("body")
        declared = Endpoint(
            name=handler.__name__,
            methods=tuple(methods.split()),
            route=route,
            access=access,
            description=inspect.getdoc(handler) or "",
            query=query,
            body=body,
            response=response if raw else hints["return"],
            request=request,
            raw=raw,
            errors=frozenset(
                (*errors.split(), *access.errors, *_parsing_errors(query, body or request))
            )
            | {"unavailable"},
            documented=documented,
        )
        endpoints.append(declared)
        # The SDK names the function after `__name__`. Its decorator `function_name` costs a quarter
        # of the time that a declaration takes.
        routed_methods = (*declared.methods, "HEAD") if head else declared.methods
        routed = bp.route(route, methods=routed_methods, auth_level=access.level)
        return routed(_wrap(handler, declared))

    return declare


def _parsing_errors(query: type | None, body: type | None) -> tuple[str, ...]:
    if body:
        return ("bad_json", "invalid_request", "too_large")
    return ("invalid_request",) if query else ()


def _wrap(handler: Handler, declared: Endpoint) -> Handler:
    """The function that the platform calls. It leaves unexpected errors to the platform."""

    async def function(req: func.HttpRequest) -> func.HttpResponse:
        try:
            process.start()
            arguments: dict[str, Any] = {}
            if declared.query:
                arguments["query"] = parse_query(req, declared.query)
            if declared.body:
                arguments["body"] = parse_body(req, declared.body)
            result = await handler(req, **arguments)
            return result if isinstance(result, func.HttpResponse) else json_response(result)
        except ApiError as error:
            _check_declared(declared, error)
            return error_response(error)
        except InvalidSettingsError as error:
            log.error("%s", error)  # noqa: TRY400 - the text names the setting
            return error_response(
                ApiError("unavailable", "The app is not configured; see its log.")
            )
        except AzureError as error:
            log.warning("a service failed: %s", type(error).__name__)
            return error_response(service_unavailable())

    function.__name__ = declared.name
    function.__doc__ = declared.description
    return function


def _check_declared(declared: Endpoint, error: ApiError) -> None:
    """Log a code that the API document does not have; the tests fail on such a line."""
    if error.code not in declared.errors:
        log.error("%s returned the undeclared error %s", declared.name, error.code)


def parse_query(req: func.HttpRequest, kind: type[T]) -> T:
    """The query parameters as a struct. Raises ApiError `invalid_request`."""
    try:
        return msgspec.convert(dict(req.params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise ApiError("invalid_request", f"{error}.") from None


def parse_body(req: func.HttpRequest, kind: type[T]) -> T:
    """The JSON body as a struct. Raises ApiError."""
    raw = req.get_body()
    if len(raw) > MAX_BODY_BYTES:
        raise ApiError(
            "too_large", f"The body has {len(raw)} bytes; at most {MAX_BODY_BYTES} are allowed."
        )
    return decode(raw, kind)


def json_response(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> func.HttpResponse:
    """A JSON response that must not be cached."""
    return json_bytes_response(msgspec.json.encode(body), status, headers)


def json_bytes_response(
    body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> func.HttpResponse:
    """The same for a body that is encoded already."""
    return func.HttpResponse(
        body,
        status_code=status,
        mimetype="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def empty_response(headers: Mapping[str, str]) -> func.HttpResponse:
    """204 with headers."""
    return func.HttpResponse(status_code=204, headers=dict(headers))


def error_response(error: ApiError) -> func.HttpResponse:
    """`{"error": {"code", "message", "retry"}}` with the code's status."""
    telemetry.increment("townsquare.errors", code=error.code)
    detail: dict[str, Any] = {
        "code": error.code,
        "message": error.message,
        "retry": error.retry,
    }
    if error.revision is not None:
        detail["revision"] = error.revision
    headers = {}
    if error.retry_after_ms is not None:
        detail["retry_after_ms"] = error.retry_after_ms
        headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
    return json_response({"error": detail}, error.status, headers)
