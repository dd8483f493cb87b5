"""The messages that clients receive, as frozen structs, and how a time is written in them.

A type's name ends in Response for the response to a sender, and in Event for what others receive.
What clients send is in `requests`.
"""

from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct, field

from realtime.names import Role


class Entry(Struct, frozen=True, omit_defaults=True):
    """A message of a log in its present state.

    `name` is the sender's display name when it was written. `revision` counts the edits, the last
    of them at `edited`. A deleted message has no content. `reactions` has the number of users by
    emoji, `mine` the emojis of the user who reads a history page.
    """

    seq: int
    id: str
    sender: str = field(name="from")
    content: str
    timestamp: str
    name: str = ""
    reply_to: int | None = None
    mentions: list[str] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    revision: int = 0
    edited: str | None = None
    deleted: bool = False
    reactions: dict[str, int] = field(default_factory=dict)
    mine: list[str] = field(default_factory=list)


class Change(Struct, frozen=True, omit_defaults=True):
    """A change of the message `target`; it has a seq of the same log.

    `edit` has the new `content`, `mentions` and `revision` (and neither content nor mentions if the
    message was deleted since), `delete` nothing else, `reaction` an `emoji`, whether it is `on`,
    and its `count` of users.
    """

    seq: int
    kind: Literal["edit", "delete", "reaction"]
    target: int
    id: str
    sender: str = field(name="from")
    timestamp: str
    name: str = ""
    content: str | None = None
    mentions: list[str] | None = None
    revision: int | None = None
    emoji: str | None = None
    on: bool | None = None
    count: int | None = None


class MessageEvent(Entry, frozen=True, kw_only=True, tag_field="type", tag="message"):
    room: str
    epoch: str


class MessagesEvent(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="messages"):
    """Several entries of one room in one frame: the messages and changes of one commit."""

    room: str
    epoch: str
    messages: list[Entry]
    changes: list[Change] = field(default_factory=list)


class DirectMessageEvent(Entry, frozen=True, kw_only=True, tag_field="type", tag="direct_message"):
    to: str
    epoch: str


class DirectMessagesEvent(
    Struct, frozen=True, omit_defaults=True, tag_field="type", tag="direct_messages"
):
    """Several entries of the direct conversation of two users."""

    users: list[str]
    epoch: str
    messages: list[Entry]
    changes: list[Change] = field(default_factory=list)


class HeadEvent(Struct, frozen=True, tag_field="type", tag="head"):
    """The position of a room's log and its number of users, sent about once a minute.

    A client that has another position has missed entries.
    """

    room: str
    epoch: str
    seq: int
    members: int


class RoomUser(Struct, frozen=True, omit_defaults=True):
    """A user who is in a room.

    `connections` is 0 for some seconds while the user reloads a page or connects again. A
    member's `role` is left out, and `status` and `colour` of a user who has not chosen them.
    """

    user_id: str
    name: str
    connections: int
    role: Role = "member"
    status: str = ""
    colour: int | None = None


class JoinResponse(Struct, frozen=True, tag_field="type", tag="joined"):
    """The response to `join`.

    If `recovered` is true, `messages` and `changes` hold everything after the client's position.
    Otherwise `messages` is the newest page, and the client discards what it had. An empty log has
    the epoch "" until its first entry, whose frame may come before this one. `read` is the user's
    read marker, `role` the user's role. `muted_until` is null for a user who may write, and
    in the year 9999 for one whose mute has no end.
    """

    room: str
    epoch: str
    head: int
    users: list[RoomUser]
    count: int
    messages: list[Entry]
    recovered: bool
    read: int
    role: Role
    private: bool
    listed: bool
    title: str
    topic: str
    muted_until: str | None
    changes: list[Change] = field(default_factory=list)


class LeaveResponse(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="left"):
    """The response to `leave`. The user's other connections get it too, with `elsewhere`: they do
    not receive what is sent to the room any more."""

    room: str
    elsewhere: bool = False


class SystemEvent(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="system"):
    """`event` is `joined`, `left` or `renamed`, `content` a sentence about it.

    `status` and `colour` are those of a user who has joined or has a new name, if chosen.
    """

    room: str
    event: str
    user_id: str
    name: str
    content: str
    status: str = ""
    colour: int | None = None


class PresenceChange(Struct, frozen=True, omit_defaults=True):
    """One user's `joined`, `left` or `renamed`, with the fields of a `system` message."""

    event: str
    user_id: str
    name: str
    status: str = ""
    colour: int | None = None


class PresenceEvent(Struct, frozen=True, tag_field="type", tag="presence"):
    """Several joins, leaves and new names in one room, in their order, in one frame.

    A single one is a `system` message.
    """

    room: str
    changes: list[PresenceChange]


class ProfileEvent(Struct, frozen=True, tag_field="type", tag="profile"):
    """A user of the room has another status or colour now; a new name is a `system` message."""

    room: str
    user_id: str
    name: str
    status: str
    colour: int | None


class RoomEvent(Struct, frozen=True, tag_field="type", tag="room"):
    """The settings of a room have changed."""

    room: str
    title: str
    topic: str
    private: bool
    listed: bool


class RoleEvent(Struct, frozen=True, tag_field="type", tag="role"):
    """A user of the room has another role now."""

    room: str
    user_id: str
    name: str
    role: Role


class MutedEvent(Struct, frozen=True, tag_field="type", tag="muted"):
    """The receiver is muted in the room: until a time, or until it is lifted. Or it is lifted."""

    room: str
    on: bool
    until: str | None


class RemovedEvent(Struct, frozen=True, tag_field="type", tag="removed"):
    """The receiver was removed from the room, and may not join an open room before `until`.

    Without `until` the room is private, or has just become so.
    """

    room: str
    until: str | None


class BlockedEvent(Struct, frozen=True, tag_field="type", tag="blocked"):
    """The receiver blocks this user now, or does not any more."""

    user_id: str
    on: bool


class ReportResponse(Struct, frozen=True, tag_field="type", tag="reported"):
    """The answer to `report`."""

    id: str


class TypingEvent(Struct, frozen=True, tag_field="type", tag="typing"):
    room: str
    user_id: str
    name: str


class ReadEvent(Struct, frozen=True, tag_field="type", tag="read", omit_defaults=True):
    seq: int
    room: str | None = None
    to: str | None = None


class ErrorMessage(Struct, frozen=True, tag_field="type", tag="error", omit_defaults=True):
    """The response to a rejected event.

    `revision` is the present revision of a message, for the code `conflict`. It is sent with HTTP
    200, because Web PubSub may close the connection after an error status.
    """

    event: str
    code: str
    message: str
    retry: bool
    id: str | None = None
    room: str | None = None
    retry_after_ms: int | None = None
    revision: int | None = None


class Frame(Struct, frozen=True):
    """One tick of a stream. If `full` is false, `data` holds only what has changed."""

    type: str
    stream: str
    tick: int
    timestamp: str
    stale: bool
    full: bool
    data: dict[str, Any]


def format_timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
