"""Handlers of the client events against other users: block, mute, remove, role and report."""

from functools import partial

from events.client import Client, Reply
from events.conversations import find_conversation
from events.limits import event_limits
from realtime.azure.web_pubsub import hub
from realtime.messages import BlockedEvent, ReportResponse
from realtime.names import validate_user_id
from realtime.requests import (
    BlockRequest,
    MuteRequest,
    RemoveRequest,
    ReportRequest,
    RoleRequest,
)
from realtime.rooms.access import room_access
from realtime.rooms.administration import Actor, administration
from realtime.rooms.reported import find_reported
from realtime.users.audit import audit_log
from realtime.users.bans import bans
from realtime.users.blocks import blocks
from realtime.users.reports import reports, validate_reason


async def block(client: Client, request: BlockRequest) -> Reply:
    """Block a user, or end it; all connections of the caller are told."""
    user_id = validate_user_id(request.user_id)
    event_limits().acts.acquire(client.user_id)
    if request.on:
        await blocks().add(client.user_id, user_id)
    else:
        await blocks().remove(client.user_id, user_id)
    await hub().send_to_user(client.user_id, BlockedEvent(user_id, request.on))
    return Reply(None, client.rooms)


async def mute(client: Client, request: MuteRequest) -> Reply:
    """Mute a user in a room, or lift it."""
    room, user_id, actor = await _authorize(client, request.room, request.user_id)
    await administration().mute(room, actor, user_id, request.minutes, on=request.on)
    return Reply(None, client.rooms)


async def remove(client: Client, request: RemoveRequest) -> Reply:
    """Remove a user from a room."""
    room, user_id, actor = await _authorize(client, request.room, request.user_id)
    await administration().remove(room, actor, user_id, request.minutes)
    return Reply(None, client.rooms)


async def change_role(client: Client, request: RoleRequest) -> Reply:
    """Give a user of a room a role."""
    room, user_id, actor = await _authorize(client, request.room, request.user_id)
    await administration().change_role(room, actor, user_id, request.role)
    return Reply(None, client.rooms)


async def report(client: Client, request: ReportRequest) -> Reply:
    """Report a message to the operators; the response has the id of the report."""
    reason = validate_reason(request.reason)
    found = find_conversation(client, request.room, request.to)
    event_limits().reports.acquire(client.user_id)
    await bans().check(client.user_id)
    if found.kind == "room":
        await room_access().check(found.name, client.user_id)
    epoch, message = await find_reported(found.log, request.seq, client.user_id)
    report_id = await reports().add(
        client.user_id, found.log, epoch, message.seq, message.sender, reason
    )
    return Reply(ReportResponse(report_id), client.rooms)


async def _authorize(client: Client, room: str, user_id: str) -> tuple[str, str, Actor]:
    """The room, the target and the actor. Raises ApiError for a user who is not in the room."""
    name, target = client.require_joined(room), validate_user_id(user_id)
    event_limits().acts.acquire(client.user_id)
    await bans().check(client.user_id)
    await room_access().check(name, client.user_id)
    return name, target, Actor(client.user_id, partial(audit_log().add, client.user_id))
