"""The conversations of the caller with their unread counts, and the directory of rooms."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import azure.functions as func
from msgspec import Meta, Struct

from api.blueprint import bp
from realtime.concurrency import gather_limited
from realtime.http import Access, endpoint
from realtime.identity.profiles import profiles
from realtime.names import Role, direct_log
from realtime.rooms.access import room_access
from realtime.rooms.directory import directory
from realtime.rooms.history import history
from realtime.rooms.log import logs
from realtime.rooms.log_rows import Head
from realtime.users.blocks import blocks
from realtime.users.caller import authenticate
from realtime.users.memberships import Membership, memberships

MAX_PAGE_CONVERSATIONS = 100
"""The most conversations of one page: each costs up to four reads, since Table Storage has no
query for rows of several partitions that does not scan the table."""

MAX_POSITION_LENGTH = 80


class ConversationSummary(Struct, frozen=True, omit_defaults=True):
    """A room or a direct conversation (`user_id`, `name`) of the caller.

    `read` is the read marker. `mentions` are those of the unread messages, at most 100. A member's
    `role` is left out, and `blocked` unless the caller blocks the user. `status` and `colour` are
    those of the user, if chosen.
    """

    epoch: str
    head: int
    read: int
    unread: int
    room: str | None = None
    private: bool | None = None
    user_id: str | None = None
    name: str | None = None
    mentions: int = 0
    title: str = ""
    topic: str = ""
    role: Role = "member"
    muted_until: str | None = None
    blocked: bool = False
    status: str = ""
    colour: int | None = None


class ConversationList(Struct, frozen=True, omit_defaults=True):
    """One page; `next` is the `after` of the next one, where there is one."""

    rooms: list[ConversationSummary]
    direct: list[ConversationSummary]
    next: str | None = None


class DirectoryRoom(Struct, frozen=True):
    """An open room; `members` are in it now."""

    room: str
    title: str
    topic: str
    members: int


class RoomDirectory(Struct, frozen=True, omit_defaults=True):
    """One page; `next` is the `after` of the next one, where there is one."""

    rooms: list[DirectoryRoom]
    next: str | None = None


class ConversationQuery(Struct, frozen=True):
    """The page after a position, which the page before has named.

    With `all`, the directory instead of the caller's conversations; then a page has at most 50.
    """

    after: Annotated[str, Meta(max_length=MAX_POSITION_LENGTH)] = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_CONVERSATIONS)] = MAX_PAGE_CONVERSATIONS
    all: bool = False


@endpoint(bp, "GET", "api/rooms", Access.SESSION)
async def room_list(
    req: func.HttpRequest, query: ConversationQuery
) -> ConversationList | RoomDirectory:
    """List the caller's direct conversations and rooms with their unread counts.

    With `all`, list the open rooms that are listed, by id. It is at most some seconds old.
    """
    caller = await authenticate(req.headers)
    if query.all:
        return await _read_directory(query)
    return await _list_conversations(caller.user_id, query)


async def _read_directory(query: ConversationQuery) -> RoomDirectory:
    page = await directory().read_page(query.limit, query.after)
    return RoomDirectory(
        [
            DirectoryRoom(one.room, one.title, one.topic, members)
            for one, members in zip(page.rooms, page.members, strict=True)
        ],
        page.following,
    )


async def _list_conversations(user_id: str, query: ConversationQuery) -> ConversationList:
    (stored, following), blocked = await asyncio.gather(
        memberships().list_page(user_id, query.limit, query.after), blocks().list_blocked(user_id)
    )
    found = await gather_limited(_summarize(user_id, one, blocked) for one in stored)
    summaries = [one for one in found if one]
    return ConversationList(
        [one for one in summaries if one.room],
        [one for one in summaries if one.user_id],
        following,
    )


async def _summarize(
    user_id: str, membership: Membership, blocked: Sequence[str]
) -> ConversationSummary | None:
    """None for a room to which the user has no access any more."""
    name = membership.name
    if membership.kind == "direct":
        profile = await profiles().find_or_default(name)
        return await _make_summary(
            user_id,
            membership,
            direct_log(user_id, name),
            user_id=name,
            name=profile.name,
            status=profile.status,
            colour=profile.colour,
            blocked=name in blocked,
        )
    state = await room_access().find(name, user_id)
    if state is None:
        return None
    return await _make_summary(
        user_id,
        membership,
        name,
        room=name,
        private=state.private,
        title=state.room.title,
        topic=state.room.topic,
        role=state.role,
        muted_until=room_access().end_of_mute(state),
    )


def _count_unread(head: Head, read_messages: int) -> int:
    """What retention has removed is not unread."""
    removed = head.messages if head.first > head.seq else head.purged
    return max(0, head.messages - max(read_messages, removed))


async def _make_summary(
    reader: str, membership: Membership, log: str, **conversation: Any
) -> ConversationSummary:
    """Unread are stored messages; edits, deletes and reactions do not count."""
    head = await logs().read_head(log)
    unread = _count_unread(head, membership.read_messages)
    mentions = await history().count_mentions(log, reader, membership.read) if unread else 0
    return ConversationSummary(
        head.epoch, head.seq, membership.read, unread, mentions=mentions, **conversation
    )
