"""How an HTTP function is declared, reads its request and answers; every refusal has one shape."""

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar, get_type_hints

import azure.functions as func
import msgspec
from azure.core.exceptions import AzureError

from realtime import telemetry
from realtime.messages import Refused, decode
from realtime.settings import InvalidSettings

BODY_LIMIT = 256 * 1024
"""The longest body that is read, in bytes; the longest message, escaped, needs a tenth of it."""

Handler = Callable[..., Awaitable[Any]]
T = TypeVar("T")

log = logging.getLogger(__name__)


class Access(Enum):
    """Who may call a function."""

    OPEN = "open to everybody"
    WHO = "open to everybody who proves who they are"
    KEY = "open to servers, by function key"

    @property
    def level(self) -> func.AuthLevel:
        return func.AuthLevel.FUNCTION if self is Access.KEY else func.AuthLevel.ANONYMOUS


@dataclass(frozen=True)
class Endpoint:
    """An HTTP function as it was declared; types are None where there is nothing to read or say.

    `asks` is what the handler reads by itself, from the query or the body. With `whole` it makes
    the whole response, its status too.
    """

    name: str
    methods: tuple[str, ...]
    route: str
    access: Access
    meaning: str
    query: type | None
    body: type | None
    answer: type | None
    asks: type | None
    whole: bool


endpoints: list[Endpoint] = []
"""Every HTTP function of the app, in the order of its declaration."""


def endpoint(
    bp: func.Blueprint,
    methods: str,
    route: str,
    access: Access,
    *,
    asks: type | None = None,
    answer: type | None = None,
) -> Callable[[Handler], Any]:
    """Declare an HTTP function; several methods are separated by a space.

    The handler takes the request, and where it wants them `query` and `body`, each a struct that
    is read and checked before. What it returns is the answer: a struct, or a whole response (then
    `answer` tells what is in it). `asks` tells what it reads by itself. What it raises as Refused
    becomes the error object.
    """

    def declare(handler: Handler) -> Any:
        hints = get_type_hints(handler)
        whole = hints["return"] is func.HttpResponse
        declared = Endpoint(
            name=handler.__name__,
            methods=tuple(methods.split()),
            route=route,
            access=access,
            meaning=inspect.getdoc(handler) or "",
            query=hints.get("query"),
            body=hints.get("body"),
            answer=answer if whole else hints["return"],
            asks=asks,
            whole=whole,
        )
        endpoints.append(declared)
        routed = bp.route(route, methods=declared.methods, auth_level=access.level)
        return bp.function_name(declared.name)(routed(_answering(handler, declared)))

    return declare


def _answering(handler: Handler, declared: Endpoint) -> Handler:
    """What the platform calls. Refusals become answers; what nobody foresaw is left to it."""

    async def function(req: func.HttpRequest) -> func.HttpResponse:
        try:
            said: dict[str, Any] = {}
            if declared.query:
                said["query"] = _query(req, declared.query)
            if declared.body:
                said["body"] = body_of(req, declared.body)
            answer = await handler(req, **said)
            return answer if isinstance(answer, func.HttpResponse) else json(answer)
        except Refused as refused:
            return refusal(refused)
        except InvalidSettings as error:
            log.error("%s", error)  # noqa: TRY400 - the sentence says it all
            return refusal(Refused("unavailable", "The app is not configured; see its log."))
        except AzureError as error:
            log.warning("a service failed: %s", type(error).__name__)
            return refusal(unavailable())

    function.__name__ = declared.name
    function.__doc__ = declared.meaning
    return function


def _query(req: func.HttpRequest, kind: type[T]) -> T:
    try:
        return msgspec.convert(dict(req.params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise Refused("invalid_request", f"{error}.") from None


def body_of(req: func.HttpRequest, kind: type[T]) -> T:
    """The body of a request, read and checked."""
    raw = req.get_body()
    if len(raw) > BODY_LIMIT:
        raise Refused("too_large", f"The body has {len(raw)} bytes; at most {BODY_LIMIT} are read.")
    return decode(raw, kind)


def json(
    answer: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> func.HttpResponse:
    """An answer that is never cached: everything we say is about now."""
    return func.HttpResponse(
        msgspec.json.encode(answer),
        status_code=status,
        mimetype="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def nothing(headers: Mapping[str, str]) -> func.HttpResponse:
    """An answer that is only a status and headers."""
    return func.HttpResponse(status_code=204, headers=dict(headers))


def refusal(refused: Refused) -> func.HttpResponse:
    """`{"error": {"code", "message", "retry"}}` with the code's status."""
    telemetry.count("townsquare.refused", code=refused.code)
    error: dict[str, Any] = {
        "code": refused.code,
        "message": refused.message,
        "retry": refused.retry,
    }
    headers = {}
    if refused.retry_after_ms is not None:
        error["retry_after_ms"] = refused.retry_after_ms
        headers["Retry-After"] = str(-(-refused.retry_after_ms // 1000))
    return json({"error": error}, refused.status, headers)


def unavailable() -> Refused:
    return Refused("unavailable", "A service we need is away; try again.", retry_after_ms=1000)
