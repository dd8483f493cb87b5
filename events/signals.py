"""Handlers of the client events `typing` and `read`, which are not stored in a log."""

import asyncio

from events.client import Client, Reply
from events.conversations import find_conversation
from events.limits import event_limits
from events.rejections import count_rejection
from realtime.azure.web_pubsub import hub
from realtime.errors import ApiError
from realtime.messages import ReadEvent, TypingEvent
from realtime.names import room_group
from realtime.requests import ReadRequest, TypingRequest
from realtime.rooms.access import room_access
from realtime.rooms.history import history
from realtime.rooms.log import logs
from realtime.users.memberships import Kind, memberships


async def typing(client: Client, request: TypingRequest) -> Reply:
    """Publish that the user is typing, at most every 3 s; further events count as rejected."""
    room = client.require_joined(request.room)
    if event_limits().typing.try_acquire(f"{client.user_id}:{room}"):
        await _check_typing(room, client.user_id)
        await hub().send_to_group(room_group(room), TypingEvent(room, client.user_id, client.name))
    else:
        await count_rejection(client.connection)
    return Reply(None, client.rooms)


async def read(client: Client, request: ReadRequest) -> Reply:
    """Store a read marker and send it to all connections of the user.

    A marker that does not move is neither stored nor sent.
    """
    kind, name, log = find_conversation(client, request.room, request.to)
    event_limits().reads.acquire(client.user_id)
    if kind == "room":
        await room_access().check_open(name, client.user_id)
    membership, _ = await asyncio.gather(
        memberships().find(client.user_id, kind, name), _check_seq(log, request.seq)
    )
    if membership is None:
        raise ApiError("not_in_room", "Join the room first, or write to this user.")
    if request.seq > membership.read:
        messages = await history().count_messages(log, request.seq)
        seq = await memberships().advance_read_marker(
            client.user_id, kind, name, request.seq, messages
        )
        await hub().send_to_user(client.user_id, _read_event(seq, kind, name))
    return Reply(None, client.rooms)


def _read_event(seq: int, kind: Kind, name: str) -> ReadEvent:
    return ReadEvent(seq, room=name) if kind == "room" else ReadEvent(seq, to=name)


async def _check_typing(room: str, user_id: str) -> None:
    """No commit compares the access version here, so a private room is read each time."""
    permit = await room_access().permit(room, user_id)
    state = await room_access().check(room, user_id) if permit.state.private else permit.state
    room_access().check_muted(state)


async def _check_seq(log: str, seq: int) -> None:
    """Raises ApiError for a seq that the log does not have. The head only moves forward."""
    head = await logs().cached_head(log)
    if seq > head.seq:
        head = await logs().read_head(log)
    if not 0 <= seq <= head.seq:
        raise ApiError("invalid_cursor", f"The history ends at {head.seq}.")
