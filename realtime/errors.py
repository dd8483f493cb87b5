"""The errors that a caller gets as an answer, and their HTTP status codes."""

from typing import ClassVar


class ApiError(Exception):
    """A request that is answered with an error object and has no effect.

    The codes by HTTP status; over a WebSocket the same code is sent in an `ErrorMessage`:

        400  bad_json  invalid_request  invalid_room  invalid_user  invalid_id  invalid_cursor
             unknown_group  empty_content  content_too_long  invalid_text
             not_in_room  unknown_event  direct_to_self  stale_event
        401  unauthenticated
        403  banned  forbidden  moderated
        404  unknown_room  unknown_stream  unknown_user  unreachable
        409  id_conflict  too_many_rooms
        413  too_large
        429  rate_limited
        503  busy  unavailable  moderation_unavailable
    """

    STATUS: ClassVar[dict[str, int]] = {
        "unauthenticated": 401,
        "banned": 403,
        "forbidden": 403,
        "moderated": 403,
        "unknown_room": 404,
        "unknown_stream": 404,
        "unknown_user": 404,
        "unreachable": 404,
        "id_conflict": 409,
        "too_many_rooms": 409,
        "too_large": 413,
        "rate_limited": 429,
        "busy": 503,
        "unavailable": 503,
        "moderation_unavailable": 503,
    }
    """The codes whose status is not 400."""

    def __init__(self, code: str, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms

    @property
    def status(self) -> int:
        return self.STATUS.get(self.code, 400)

    @property
    def retry(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in {429, 503}


def service_unavailable() -> ApiError:
    """The error for a failed call to Table Storage or Web PubSub."""
    return ApiError(
        "unavailable",
        "A service that the app needs is unavailable; try again.",
        retry_after_ms=1000,
    )
