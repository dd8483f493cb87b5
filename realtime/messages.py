"""What people say, what they hear, and how something is refused: plain values.

Everything that crosses a wire is a frozen struct of this file; `msgspec` checks what comes in
and encodes what goes out.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import Struct, field

T = TypeVar("T")

CONTENT_LIMIT = 4_000
"""The longest text, in UTF-16 units: Table Storage counts a string property that way."""

# Characters that take no room on a screen: a text made of them alone is blank.
_INVISIBLE = dict.fromkeys([0xAD, 0x180E, *range(0x200B, 0x2010), *range(0x2060, 0x2065), 0xFEFF])


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault
    """A request that gets an answer instead of an effect.

    The whole family, by HTTP status; over a socket the same code travels in a `Refusal`:

        400  bad_json  invalid_request  invalid_room  invalid_user  invalid_id  invalid_cursor
             unknown_group  empty_content  content_too_long  invalid_text
             not_in_room  unknown_event  direct_to_self  stale_event
        401  unauthenticated
        403  barred  forbidden  moderated
        404  unknown_room  unknown_stream  unknown_user  unreachable
        409  id_conflict  too_many_rooms
        413  too_large
        429  rate_limited
        503  busy  unavailable  moderation_unavailable
    """

    _STATUS: ClassVar[dict[str, int]] = {
        "unauthenticated": 401,
        "barred": 403,
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

    def __init__(self, code: str, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms

    @property
    def status(self) -> int:
        return self._STATUS.get(self.code, 400)

    @property
    def retry(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in {429, 503}


# --- what a client says ---------------------------------------------------------------------


class Join(Struct, frozen=True):
    room: str
    after: int | None = None
    epoch: str | None = None


class Leave(Struct, frozen=True):
    room: str


class Say(Struct, frozen=True):
    room: str
    content: str
    id: str


class Direct(Struct, frozen=True):
    to: str
    content: str
    id: str


class Typing(Struct, frozen=True):
    room: str


class Read(Struct, frozen=True):
    """How far somebody has read, in a room or in the conversation with one person (`to`)."""

    seq: int
    room: str | None = None
    to: str | None = None


# --- what a client hears --------------------------------------------------------------------


class Entry(Struct, frozen=True):
    """One message as its log keeps it."""

    seq: int
    id: str
    sender: str = field(name="from")
    content: str
    timestamp: str


class Message(Struct, frozen=True, tag_field="type", tag="message"):
    room: str
    epoch: str
    seq: int
    id: str
    sender: str = field(name="from")
    content: str
    timestamp: str


class Messages(Struct, frozen=True, tag_field="type", tag="messages"):
    """Several messages of one room in one frame: what one commit kept."""

    room: str
    epoch: str
    messages: list[Entry]


class DirectMessage(Struct, frozen=True, tag_field="type", tag="direct_message"):
    to: str
    epoch: str
    seq: int
    id: str
    sender: str = field(name="from")
    content: str
    timestamp: str


class Present(Struct, frozen=True):
    user_id: str
    connections: int


class Joined(Struct, frozen=True, tag_field="type", tag="joined"):
    """The answer to `join`.

    With `recovered`, `messages` continues exactly where the client stood; without, it is the
    newest page and the client starts anew from it.
    """

    room: str
    epoch: str
    head: int
    users: list[Present]
    count: int
    messages: list[Entry]
    recovered: bool
    read: int


class Left(Struct, frozen=True, tag_field="type", tag="left"):
    room: str


class System(Struct, frozen=True, tag_field="type", tag="system"):
    room: str
    event: str
    user_id: str
    content: str


class IsTyping(Struct, frozen=True, tag_field="type", tag="typing"):
    room: str
    user_id: str


class HasRead(Struct, frozen=True, tag_field="type", tag="read", omit_defaults=True):
    seq: int
    room: str | None = None
    to: str | None = None


class Refusal(Struct, frozen=True, tag_field="type", tag="error", omit_defaults=True):
    """A refused event; it is answered with HTTP 200, since an error may cost the connection."""

    event: str
    code: str
    message: str
    retry: bool
    id: str | None = None
    room: str | None = None
    retry_after_ms: int | None = None


class Frame(Struct, frozen=True):
    """One tick of a stream. `full` is false where `data` holds only what has changed."""

    type: str
    stream: str
    tick: int
    timestamp: str
    stale: bool
    full: bool
    data: dict[str, Any]


# --- the checks that every text passes ------------------------------------------------------


def checked_content(content: str) -> str:
    """The text itself, or a refusal that says what is wrong with it."""
    if not content.translate(_INVISIBLE).strip():
        raise Refused("empty_content", "The content is empty.")
    try:
        units = len(content.encode("utf-16-le")) // 2
    except UnicodeEncodeError:
        raise Refused("invalid_text", "The content holds half a character (a surrogate).") from None
    if units > CONTENT_LIMIT:
        raise Refused(
            "content_too_long",
            f"The content has {units} UTF-16 units; at most {CONTENT_LIMIT} are allowed.",
        )
    return content


def decode(body: bytes, kind: type[T]) -> T:
    """A struct from JSON, or a refusal that names the field."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Refused("invalid_request", f"{error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused("bad_json", "The body is not valid JSON.") from None


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
