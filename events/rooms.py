"""Handlers of the client events `join` and `leave`."""

import asyncio

from events.client import Client, Reply
from events.limits import event_limits
from realtime.azure.web_pubsub import hub
from realtime.errors import ApiError
from realtime.identity.profiles import profiles
from realtime.messages import JoinResponse, LeaveResponse
from realtime.names import room_group, validate_room
from realtime.requests import JoinRequest, LeaveRequest
from realtime.rooms.access import RoomState, add_roles, room_access
from realtime.rooms.erasure import erasure
from realtime.rooms.history import history
from realtime.rooms.presence import presence
from realtime.users.bans import bans
from realtime.users.memberships import memberships


async def join(client: Client, request: JoinRequest) -> Reply:
    """Add the connection to a room; the response has roster, head and missed messages."""
    room = validate_room(request.room)
    event_limits().joins.acquire(client.user_id)
    await asyncio.gather(
        bans().check(client.user_id), room_access().check_by_version(room, client.user_id)
    )
    rooms = client.rooms_with(room)
    if not await hub().add_connection_to_group(room_group(room), client.connection):
        raise ApiError("unavailable", "The connection is closed.")
    # The group first, then the history: a message in between arrives twice rather than never.
    access = asyncio.ensure_future(remove_without_access(client, room))
    state, (page, recovered), read, first_users = await asyncio.gather(
        access,
        history().read_since(room, request.after, request.epoch, reader=client.user_id),
        memberships().add(client.user_id, "room", room),
        presence().enter(room, client.user_id, access=access),
    )
    profile = await profiles().find_or_default(client.user_id)  # cached with the event's name
    response = JoinResponse(
        room=room,
        epoch=page.head.epoch,
        head=page.head.seq,
        users=add_roles(first_users.with_user(client.user_id, profile), state.room),
        count=first_users.count,
        messages=page.messages,
        changes=page.changes,
        recovered=recovered,
        read=read,
        role=state.role,
        private=state.private,
        listed=state.room.listed,
        title=state.room.title,
        topic=state.room.topic,
        muted_until=room_access().end_of_mute(state),
    )
    return Reply(response, rooms)


async def leave(client: Client, request: LeaveRequest) -> Reply:
    """Remove all connections of the user from a room, and the room from the user's rooms.

    The other connections are told: else they would join it again. The mentions of the user are not
    counted any more: a deletion of the user would not find them.
    """
    room = client.require_joined(request.room)
    await hub().remove_user_from_group(room_group(room), client.user_id)
    await asyncio.gather(
        presence().announce_left(room, client.user_id),
        memberships().remove(client.user_id, "room", room),
    )
    await erasure().remove_mentions(room, client.user_id)
    elsewhere = LeaveResponse(room, elsewhere=True)
    await hub().send_to_user(client.user_id, elsewhere, except_for=client.connection)
    return Reply(LeaveResponse(room), tuple(one for one in client.rooms if one != room))


async def remove_without_access(client: Client, room: str) -> RoomState:
    """Check the access again and remove the connection if it was withdrawn meanwhile.

    Reads the table, not the cache: another instance may have made the room private after the first
    check, and then has listed the room's connections before this one was in it.
    """
    try:
        return await room_access().check(room, client.user_id)
    except ApiError:
        await hub().remove_connection_from_group(room_group(room), client.connection)
        raise
