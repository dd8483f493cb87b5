"""The data of the events that clients send over the WebSocket, as frozen structs."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from realtime.names import Role

Seq = Annotated[int, Meta(ge=1, le=2**53)]
"""The position of an entry in its log; a JavaScript client can represent it."""


DEFAULT_REMOVAL_MINUTES = 60

Minutes = Annotated[int, Meta(ge=1, le=43_200)]
"""Up to 30 days."""


class JoinRequest(Struct, frozen=True):
    """`after` and `epoch` are the client's position in the room's log, where it has one."""

    room: str
    after: int | None = None
    epoch: str | None = None


class LeaveRequest(Struct, frozen=True):
    """Leaves a room on all connections of the user."""

    room: str


class MessageRequest(Struct, frozen=True):
    """`id` is the client's own: a repeated request with the same id is stored once.

    `reply_to` is the seq of a message of the room, `mentions` are user ids, `meta` is a JSON object
    of at most 4 KB for the application.
    """

    room: str
    content: str
    id: str
    reply_to: Seq | None = None
    mentions: list[str] = []
    meta: dict[str, Any] = {}


class DirectMessageRequest(Struct, frozen=True):
    """The members are those of MessageRequest."""

    to: str
    content: str
    id: str
    reply_to: Seq | None = None
    mentions: list[str] = []
    meta: dict[str, Any] = {}


class EditRequest(Struct, frozen=True):
    """Replaces the content of the sender's message `seq`, which has this `revision` now.

    `room`, or `to` for a direct conversation. With an `id` of the client's own, a repeated request
    is recognised in every case.
    """

    seq: Seq
    content: str
    revision: Annotated[int, Meta(ge=0)]
    room: str | None = None
    to: str | None = None
    mentions: list[str] = []
    id: str | None = None


class DeleteRequest(Struct, frozen=True):
    """Deletes the message `seq` in a room, or in the conversation with a user (`to`).

    Owners and moderators of a room may delete messages of other users.
    """

    seq: Seq
    room: str | None = None
    to: str | None = None
    id: str | None = None


class ReactRequest(Struct, frozen=True):
    """Adds (`on`) or removes a reaction of the sender to the message `seq`."""

    seq: Seq
    emoji: str
    on: bool = True
    room: str | None = None
    to: str | None = None
    id: str | None = None


class TypingRequest(Struct, frozen=True):
    room: str


class BlockRequest(Struct, frozen=True):
    """Blocks a user, or ends it (`on` false): no direct message arrives in either direction any
    more, and no mention by the user. The other user is not told."""

    user_id: str
    on: bool = True


class MuteRequest(Struct, frozen=True):
    """Mutes a user in a room for some minutes, or until it is lifted (`on` false).

    For owners and moderators.
    """

    room: str
    user_id: str
    minutes: Minutes | None = None
    on: bool = True


class RemoveRequest(Struct, frozen=True):
    """Removes a user from a room; an open room refuses the user for some minutes.

    For owners and moderators.
    """

    room: str
    user_id: str
    minutes: Minutes = DEFAULT_REMOVAL_MINUTES


class RoleRequest(Struct, frozen=True):
    """Gives a user a role, in a private room a membership too. For owners."""

    room: str
    user_id: str
    role: Role


class ReportRequest(Struct, frozen=True):
    """Reports the message `seq` of a room, or of the conversation with a user (`to`)."""

    seq: Seq
    reason: str
    room: str | None = None
    to: str | None = None


class ReadRequest(Struct, frozen=True):
    """The caller's read marker in a room, or in the conversation with one user (`to`)."""

    seq: int
    room: str | None = None
    to: str | None = None
