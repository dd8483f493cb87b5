"""How an HTTP function reads its request and answers: JSON, and one shape for every refusal."""

import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import azure.functions as func
import msgspec
from azure.core.exceptions import AzureError

from realtime.messages import Refused, decode
from realtime.settings import InvalidSettings

BODY_LIMIT = 256 * 1024
"""The longest body that is read, in bytes; the longest message, escaped, needs a tenth of it."""

Handler = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]
T = TypeVar("T")

log = logging.getLogger(__name__)


def json(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> func.HttpResponse:
    """An answer that is never cached: everything we say is about now."""
    return func.HttpResponse(
        msgspec.json.encode(body),
        status_code=status,
        mimetype="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def nothing(headers: Mapping[str, str] | None = None) -> func.HttpResponse:
    return func.HttpResponse(status_code=204, headers=dict(headers or {}))


def refusal(refused: Refused) -> func.HttpResponse:
    """`{"error": {"code", "message", "retry"}}` with the code's status."""
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


def answering(handler: Handler) -> Handler:
    """Turn what a handler raises into an answer; what nobody foresaw is left to the platform."""

    @functools.wraps(handler)
    async def wrapper(req: func.HttpRequest) -> func.HttpResponse:
        try:
            return await handler(req)
        except Refused as refused:
            return refusal(refused)
        except InvalidSettings as error:
            log.error("%s", error)  # noqa: TRY400 - the sentence says it all
            return refusal(Refused("unavailable", "The app is not configured; see its log."))
        except AzureError as error:
            log.warning("a service failed: %s", type(error).__name__)
            return refusal(unavailable())

    return wrapper


def unavailable() -> Refused:
    return Refused("unavailable", "A service we need is away; try again.", retry_after_ms=1000)


def body(req: func.HttpRequest, kind: type[T]) -> T:
    """The request's JSON body as a struct."""
    raw = req.get_body()
    if len(raw) > BODY_LIMIT:
        raise Refused("too_large", f"The body has {len(raw)} bytes; at most {BODY_LIMIT} are read.")
    return decode(raw, kind)


def number(req: func.HttpRequest, name: str, low: int, high: int, code: str) -> int | None:
    """A whole number from the query, or None where it is absent."""
    text = req.params.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high:
        return int(text)
    raise Refused(code, f"{name} is a whole number from {low} to {high}.")
