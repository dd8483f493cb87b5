"""The errors that a caller gets: their codes, HTTP status codes and meanings."""

from msgspec import Struct


class ErrorCode(Struct, frozen=True):
    """The HTTP status of a code, and a sentence for the API document."""

    status: int
    meaning: str


ERROR_CODES = {
    "bad_json": ErrorCode(400, "The body is not valid JSON."),
    "invalid_request": ErrorCode(400, "A parameter, a header or a field is missing or invalid."),
    "invalid_room": ErrorCode(400, "The room name is not valid."),
    "invalid_user": ErrorCode(400, "The user id is not valid."),
    "invalid_id": ErrorCode(400, "The message id is not valid."),
    "invalid_cursor": ErrorCode(400, "`before` or `after` is outside of the history."),
    "invalid_name": ErrorCode(400, "The display name is not valid."),
    "invalid_status": ErrorCode(400, "The status has control or invisible characters."),
    "invalid_stream": ErrorCode(400, "The stream's name or group is not valid."),
    "unknown_group": ErrorCode(400, "No stream has this group."),
    "empty_content": ErrorCode(400, "The content is empty."),
    "content_too_long": ErrorCode(400, "The content is longer than 4,000 UTF-16 units."),
    "invalid_text": ErrorCode(400, "The content is not valid Unicode."),
    "invalid_emoji": ErrorCode(400, "The reaction is not one emoji."),
    "not_in_room": ErrorCode(400, "The connection has not joined this room."),
    "unknown_event": ErrorCode(400, "There is no event of this name."),
    "direct_to_self": ErrorCode(400, "Sender and recipient are the same user."),
    "invalid_target": ErrorCode(400, "The caller cannot do this to itself."),
    "invalid_title": ErrorCode(400, "The title of the room is not valid."),
    "invalid_topic": ErrorCode(400, "The topic of the room is not valid."),
    "invalid_reason": ErrorCode(400, "The reason of the report is not valid."),
    "stale_event": ErrorCode(400, "The event is older than five minutes."),
    "unauthenticated": ErrorCode(401, "The proof of the caller's identity is missing or invalid."),
    "banned": ErrorCode(403, "The caller is banned."),
    "forbidden": ErrorCode(403, "The caller may not do this."),
    "muted": ErrorCode(403, "The caller is muted in this room."),
    "removed": ErrorCode(403, "The caller was removed from this room for some time."),
    "moderated": ErrorCode(403, "The moderation function rejected the message."),
    "unknown_room": ErrorCode(404, "There is no such room, or the caller has no access to it."),
    "unknown_report": ErrorCode(404, "There is no such report."),
    "unknown_stream": ErrorCode(404, "There is no such stream."),
    "unreachable": ErrorCode(404, "The message was not delivered."),
    "edit_expired": ErrorCode(403, "The message is too old to be edited."),
    "unknown_message": ErrorCode(404, "There is no such message in this conversation."),
    "conflict": ErrorCode(409, "The message was edited; `revision` is the present one."),
    "too_many_reactions": ErrorCode(409, "The message has too many different reactions."),
    "message_deleted": ErrorCode(410, "The message is deleted."),
    "user_deleted": ErrorCode(410, "The user is deleted; the id is not given again."),
    "name_taken": ErrorCode(409, "The display name looks like that of another user."),
    "last_owner": ErrorCode(409, "The room would have no owner."),
    "too_many_roles": ErrorCode(409, "The room has as many owners and moderators as allowed."),
    "too_many_blocks": ErrorCode(409, "The caller blocks as many users as allowed."),
    "id_conflict": ErrorCode(409, "The id was used for a message with another content."),
    "stream_has_producer": ErrorCode(409, "A producer of the app makes this stream."),
    "stream_off": ErrorCode(409, "The setting STREAMS_OFF names this stream."),
    "group_in_use": ErrorCode(409, "Another stream has this group, or the stream has another."),
    "too_many_streams": ErrorCode(409, "There are as many pushed streams as allowed."),
    "too_many_rooms": ErrorCode(409, "The connection is in too many rooms."),
    "meta_too_large": ErrorCode(413, "The metadata is larger than 4 KB."),
    "too_large": ErrorCode(413, "The body is too large."),
    "too_many_connections": ErrorCode(429, "The user has as many connections as allowed."),
    "rate_limited": ErrorCode(429, "Too many requests; try again after `retry_after_ms`."),
    "busy": ErrorCode(503, "Too many messages wait for this room; try again."),
    "access_changed": ErrorCode(503, "The access rules of the room have just changed; try again."),
    "unavailable": ErrorCode(503, "A service that the app needs is unavailable; try again."),
    "moderation_unavailable": ErrorCode(503, "The moderation function failed; try again."),
}
"""Every code. Over a WebSocket the same codes are sent in an `ErrorMessage`."""


class ApiError(Exception):
    """A rejected request: it has no effect, and its response is an error object.

    `code` is a key of ERROR_CODES, `message` a sentence for people. `revision` is the present
    revision of a message, for the code `conflict`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retry_after_ms: int | None = None,
        revision: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = ERROR_CODES[code].status
        self.retry_after_ms = retry_after_ms
        self.revision = revision

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
