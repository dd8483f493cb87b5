"""The responses of the app, as frozen structs. Fields that a newer app adds are ignored."""

from datetime import datetime
from typing import Any

from msgspec import Struct, field


class Message(Struct, frozen=True):
    """A message of a room or of a direct conversation, in its present state.

    `seq` is its position in the log. `revision` counts its edits. A deleted message has no content.
    `reactions` has the number of users by emoji.
    """

    seq: int
    id: str
    sender: str = field(name="from")
    content: str
    timestamp: datetime
    name: str = ""
    reply_to: int | None = None
    mentions: list[str] = []
    meta: dict[str, Any] = {}
    revision: int = 0
    edited: datetime | None = None
    deleted: bool = False
    reactions: dict[str, int] = {}


class Change(Struct, frozen=True):
    """An entry of the log that changes the message `target`.

    `kind` is `edit`, `delete` or `reaction`.
    """

    seq: int
    kind: str
    target: int
    id: str
    sender: str = field(name="from")
    timestamp: datetime
    name: str = ""
    content: str | None = None
    mentions: list[str] | None = None
    revision: int | None = None
    emoji: str | None = None
    on: bool | None = None
    count: int | None = None


Entry = Message | Change


class HistoryPage(Struct, frozen=True):
    """A part of a log, oldest first; `more`: there are other entries in the same direction."""

    epoch: str
    head: int
    first: int
    messages: list[Message]
    more: bool
    changes: list[Change] = []

    @property
    def entries(self) -> list[Entry]:
        """Messages and changes in the order of the log."""
        return sorted([*self.messages, *self.changes], key=lambda one: one.seq)


class MessageAccepted(Struct, frozen=True):
    """A stored message: its position and its id."""

    seq: int
    id: str


class ChangeAccepted(Struct, frozen=True):
    """A stored change: its position, 0 if nothing had to be changed."""

    seq: int


class RoomUser(Struct, frozen=True):
    """A user who is in a room now; `colour` is a number from 0 to 11, None if not chosen."""

    user_id: str
    name: str
    connections: int
    role: str = "member"
    status: str = ""
    colour: int | None = None


class RoomUsersPage(Struct, frozen=True):
    """Up to 200 users of a room; `count` is the number of all."""

    users: list[RoomUser]
    count: int


class Room(Struct, frozen=True):
    """The settings of a room."""

    room: str
    private: bool
    listed: bool = False
    title: str = ""
    topic: str = ""
    owners: list[str] = []


class Session(Struct, frozen=True):
    """A minted session; `session` is what the user's browser gives to Townsquare."""

    user_id: str
    name: str
    operator: bool
    session: str
    expires_on: datetime


class Connection(Struct, frozen=True):
    """What negotiate gives: `url` has the token of a WebSocket connection."""

    url: str
    user_id: str
    name: str


class Subscription(Struct, frozen=True):
    """A stream to which a user has subscribed."""

    stream: str
    group: str


class Act(Struct, frozen=True):
    """What an operator or a key holder has done; `actor` is `key` for who had only a key."""

    key: str
    timestamp: datetime
    actor: str
    action: str
    target: str


class Frame(Struct, frozen=True):
    """One tick of a stream. If `full` is false, `data` has only what has changed."""

    type: str
    stream: str
    tick: int
    timestamp: datetime
    stale: bool
    full: bool
    data: dict[str, Any]


class Stream(Struct, frozen=True):
    """A stream with its status and its last frame."""

    name: str
    title: str
    description: str
    group: str
    active: bool
    stale: bool
    off: bool = False
    latest: Frame | None = None


class NewFrame(Struct, frozen=True, omit_defaults=True):
    """A frame to push; without a `timestamp` its time is now."""

    data: dict[str, Any]
    timestamp: datetime | None = None


class PushAccepted(Struct, frozen=True):
    """How many frames were stored and published, and the tick of the last one."""

    stream: str
    frames: int
    tick: int


class Point(Struct, frozen=True):
    """A recorded frame of a stream."""

    timestamp: datetime
    data: dict[str, Any]
