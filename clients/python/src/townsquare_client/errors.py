"""The errors of the client.

TownsquareError
├── InvalidAddressError        the address is not that of an app
├── ConnectionFailedError      the app sent no response
├── UnexpectedResponseError    the response is not one of the app: a login page of a proxy
├── ListenerError              the connection of a listener cannot be used
└── ApiError                   the app returned an error
    ├── InvalidRequestError    400, 413
    ├── UnauthenticatedError   401
    ├── ForbiddenError         403
    ├── NotFoundError          404
    ├── ConflictError          409, 410
    ├── RateLimitedError       429
    └── UnavailableError       5xx
"""

import httpx
import msgspec


class TownsquareError(Exception):
    """What every error of the client is."""


class InvalidAddressError(TownsquareError):
    """The address of the app, or of a request, is not a valid one of http or https."""


class ConnectionFailedError(TownsquareError):
    """The app sent no response; a request that is not repeatable may have had an effect."""


class UnexpectedResponseError(TownsquareError):
    """A success that is no response of the app, such as a proxy's page."""


class ListenerError(TownsquareError):
    """A listener cannot go on: a package is missing, or the session is for another purpose."""


class ApiError(TownsquareError):
    """An error response of the app.

    `code` is for programs and listed in the app's `/api/openapi.json`, the text is for people.
    `retry`: the same request may succeed later; `retry_after`: after how many seconds.
    `revision` is the present revision of a message, for the code `conflict`.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry: bool = False,
        retry_after: float | None = None,
        revision: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.retry = retry
        self.retry_after = retry_after
        self.revision = revision


class InvalidRequestError(ApiError):
    """The request, or a value in it, is not valid or too large."""


class UnauthenticatedError(ApiError):
    """The function key or the session is missing or not valid."""


class ForbiddenError(ApiError):
    """The caller may not do this."""


class NotFoundError(ApiError):
    """There is no such room, message, stream or user, or the caller has no access."""


class ConflictError(ApiError):
    """The state is another one: another revision, a deleted message, an id that was used."""


class RateLimitedError(ApiError):
    """Too many requests; `retry_after` is the time to wait."""


class UnavailableError(ApiError):
    """The app or a service that it needs is not available."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidRequestError,
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: ConflictError,
    413: InvalidRequestError,
    429: RateLimitedError,
}


class _Detail(msgspec.Struct):
    code: str
    message: str
    retry: bool = False
    retry_after_ms: int | None = None
    revision: int | None = None


class _Body(msgspec.Struct):
    error: _Detail


def make_api_error(status: int, detail: _Detail, retry_after: float | None = None) -> ApiError:
    """The error of a status; `retry_after` is that of the header, in seconds."""
    kind = _BY_STATUS.get(status, UnavailableError if status >= 500 else ApiError)
    if detail.retry_after_ms is not None:
        retry_after = detail.retry_after_ms / 1000
    return kind(
        status,
        detail.code,
        detail.message,
        retry=detail.retry,
        retry_after=retry_after,
        revision=detail.revision,
    )


def parse_api_error(response: httpx.Response) -> ApiError:
    """The error of a response. Some responses of the platform have no JSON body."""
    status = response.status_code
    try:
        detail = msgspec.json.decode(response.content, type=_Body).error
    except msgspec.DecodeError:
        retry = status in {429, 502, 503, 504}
        if status == 401:
            detail = _Detail("unauthenticated", "The function key is missing or wrong.")
        else:
            detail = _Detail(f"http_{status}", f"The server returned status {status}.", retry)
    return make_api_error(status, detail, _parse_seconds(response.headers.get("Retry-After", "")))


def parse_error_frame(frame: bytes) -> ApiError:
    """The error of a rejected event, as it comes over a WebSocket."""
    detail = msgspec.json.decode(frame, type=_Detail)
    kinds = {"unknown_room": 404, "banned": 403, "forbidden": 403, "rate_limited": 429}
    return make_api_error(kinds.get(detail.code, 503 if detail.retry else 400), detail)


def _parse_seconds(text: str) -> float | None:
    """Retry-After as seconds; a date is not sent by this app."""
    return float(text) if text.isascii() and text.isdecimal() else None
