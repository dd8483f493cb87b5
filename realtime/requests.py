"""The data of the events that clients send over the WebSocket, as frozen structs."""

from typing import Annotated, Any

from msgspec import Meta, Struct

Seq = Annotated[int, Meta(ge=1, le=2**53)]
"""The position of an entry in its log; a JavaScript client can represent it."""


class JoinRequest(Struct, frozen=True):
    """`after` and `epoch` are the client's position in the room's log, where it has one."""

    room: str
    after: int | None = None
    epoch: str | None = None


class LeaveRequest(Struct, frozen=True):
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
    """Deletes the sender's message `seq` in a room, or in the conversation with a user (`to`)."""

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


class ReadRequest(Struct, frozen=True):
    """The caller's read marker in a room, or in the conversation with one user (`to`)."""

    seq: int
    room: str | None = None
    to: str | None = None
