"""Rooms: the caller's conversations, and the settings of a room."""

from typing import Annotated, Any

import azure.functions as func
from msgspec import Meta, Struct

from api.blueprint import bp
from realtime.concurrency import gather_limited
from realtime.http import Access, endpoint
from realtime.identity.profiles import profiles
from realtime.names import direct_log, validate_room
from realtime.rooms.access import room_access
from realtime.rooms.log import logs
from realtime.rooms.log_rows import Head
from realtime.rooms.presence import presence
from realtime.rooms.removal import remove_from_room
from realtime.users.audit import record_act
from realtime.users.caller import authenticate
from realtime.users.memberships import Membership, memberships

MAX_PAGE_CONVERSATIONS = 100
"""The most conversations of one page: each costs up to three reads, since Table Storage has no
query for rows of several partitions that does not scan the table."""

MAX_POSITION_LENGTH = 80


class ConversationSummary(Struct, frozen=True, omit_defaults=True):
    """A room or a direct conversation (`user_id`, `name`) of the caller.

    `read` is the read marker.
    """

    epoch: str
    head: int
    read: int
    unread: int
    room: str | None = None
    private: bool | None = None
    user_id: str | None = None
    name: str | None = None


class ConversationList(Struct, frozen=True, omit_defaults=True):
    """One page; `next` is the `after` of the next one, where there is one."""

    rooms: list[ConversationSummary]
    direct: list[ConversationSummary]
    next: str | None = None


class ConversationQuery(Struct, frozen=True):
    """The page after a position, which the page before has named."""

    after: Annotated[str, Meta(max_length=MAX_POSITION_LENGTH)] = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_CONVERSATIONS)] = MAX_PAGE_CONVERSATIONS


@endpoint(bp, "GET", "api/rooms", Access.SESSION)
async def room_list(req: func.HttpRequest, query: ConversationQuery) -> ConversationList:
    """List the caller's direct conversations and rooms with their unread counts."""
    caller = await authenticate(req.headers)
    stored, following = await memberships().list_page(caller.user_id, query.limit, query.after)
    found = await gather_limited(_summarize(caller.user_id, one) for one in stored)
    summaries = [one for one in found if one]
    return ConversationList(
        [one for one in summaries if one.room],
        [one for one in summaries if one.user_id],
        following,
    )


async def _summarize(user_id: str, membership: Membership) -> ConversationSummary | None:
    """None for a room to which the user has no access any more."""
    name = membership.name
    if membership.kind == "direct":
        head = await logs().read_head(direct_log(user_id, name))
        other = await profiles().name_of(name)
        return _make_summary(head, membership, user_id=name, name=other)
    state = await room_access().find(name, user_id)
    if state is None:
        return None
    head = await logs().read_head(name)
    return _make_summary(head, membership, room=name, private=state.private)


def _make_summary(head: Head, membership: Membership, **conversation: Any) -> ConversationSummary:
    """Unread are messages; edits, deletes and reactions do not count."""
    unread = max(0, head.messages - membership.read_messages)
    return ConversationSummary(head.epoch, head.seq, membership.read, unread, **conversation)


class RoomSettings(Struct, frozen=True):
    """Only members may enter a private room."""

    private: bool = False


class Room(Struct, frozen=True):
    room: str
    private: bool


@endpoint(bp, "PUT", "api/rooms/{room}", Access.SERVER, errors="invalid_room")
async def room_put(req: func.HttpRequest, body: RoomSettings) -> Room:
    """Create a room, or change the one that exists."""
    room = validate_room(req.route_params["room"])
    await record_act(req.headers, "close room" if body.private else "open room", room)
    await room_access().put_room(room, private=body.private)
    if body.private:
        await _remove_others(room)
    return Room(room, body.private)


async def _remove_others(room: str) -> None:
    """Remove the users who are in a room that has become private and are not its members."""
    roster = await presence().roster(room)
    for user in roster.users:
        if not await room_access().find(room, user):
            await remove_from_room(room, user)
