"""The client events: each has a request type and a handler."""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from events import changes, messages, moderation, rooms, signals
from events.client import Client, Reply
from realtime.decoding import decode
from realtime.requests import (
    BlockRequest,
    DeleteRequest,
    DirectMessageRequest,
    EditRequest,
    JoinRequest,
    LeaveRequest,
    MessageRequest,
    MuteRequest,
    ReactRequest,
    ReadRequest,
    RemoveRequest,
    ReportRequest,
    RoleRequest,
    TypingRequest,
)


class ClientEvent(Struct, frozen=True):
    """The handler takes the client and a request of this type. It raises ApiError."""

    request: type[Struct]
    handle: Callable[[Client, Any], Awaitable[Reply]]

    async def parse_and_handle(self, client: Client, body: bytes) -> Reply:
        return await self.handle(client, decode(body, self.request))


CLIENT_EVENTS: dict[str, ClientEvent] = {
    "join": ClientEvent(JoinRequest, rooms.join),
    "leave": ClientEvent(LeaveRequest, rooms.leave),
    "message": ClientEvent(MessageRequest, messages.message),
    "direct": ClientEvent(DirectMessageRequest, messages.direct),
    "edit": ClientEvent(EditRequest, changes.edit),
    "delete": ClientEvent(DeleteRequest, changes.delete),
    "react": ClientEvent(ReactRequest, changes.react),
    "typing": ClientEvent(TypingRequest, signals.typing),
    "read": ClientEvent(ReadRequest, signals.read),
    "block": ClientEvent(BlockRequest, moderation.block),
    "mute": ClientEvent(MuteRequest, moderation.mute),
    "remove": ClientEvent(RemoveRequest, moderation.remove),
    "role": ClientEvent(RoleRequest, moderation.change_role),
    "report": ClientEvent(ReportRequest, moderation.report),
}
"""By the name of the event."""
