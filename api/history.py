"""The history of a room and of a direct conversation."""

from typing import Annotated

import azure.functions as func
from msgspec import Meta, Struct

from api.authorization import authorize_room
from api.blueprint import bp
from realtime.http import Access, endpoint
from realtime.messages import Change, Entry
from realtime.names import direct_log, validate_room, validate_user_id
from realtime.rooms.history import DEFAULT_PAGE_ENTRIES, MAX_PAGE_ENTRIES, Page, history
from realtime.users.caller import authenticate


class HistoryQuery(Struct, frozen=True):
    """The newest messages, or those before or after a seq."""

    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_ENTRIES)] = DEFAULT_PAGE_ENTRIES
    before: Annotated[int, Meta(ge=1)] | None = None
    after: Annotated[int, Meta(ge=0)] | None = None


class HistoryPage(Struct, frozen=True, omit_defaults=True):
    """Messages of a room, or of the conversation with one user, oldest first.

    Messages are in their present state. With `after`, `changes` has the edits, deletes and
    reactions of that part of the log. `first` is the oldest seq that is stored; `more` says
    whether there are other entries in the requested direction.
    """

    epoch: str
    head: int
    first: int
    messages: list[Entry]
    more: bool
    changes: list[Change] = []
    room: str | None = None
    user_id: str | None = None


@endpoint(
    bp,
    "GET",
    "api/rooms/{room}/history",
    Access.SESSION,
    errors="invalid_room unknown_room removed invalid_cursor",
)
async def room_history(req: func.HttpRequest, query: HistoryQuery) -> HistoryPage:
    """Get a page of a room's history."""
    room, caller = await authorize_room(req)
    return _make_page(await _read_page(room, query, caller.user_id), room=room)


@endpoint(
    bp,
    "GET",
    "api/server/rooms/{room}/history",
    Access.SERVER,
    errors="invalid_room invalid_cursor",
)
async def server_room_history(req: func.HttpRequest, query: HistoryQuery) -> HistoryPage:
    """Get a page of any room's history by key; a room without messages has an empty one."""
    room = validate_room(req.route_params["room"])
    return _make_page(await _read_page(room, query), room=room)


@endpoint(
    bp,
    "GET",
    "api/direct/{user_id}/history",
    Access.SESSION,
    errors="invalid_user invalid_cursor",
)
async def direct_history(req: func.HttpRequest, query: HistoryQuery) -> HistoryPage:
    """Get a page of the caller's conversation with one user."""
    caller = await authenticate(req.headers)
    user_id = validate_user_id(req.route_params["user_id"])
    page = await _read_page(direct_log(caller.user_id, user_id), query, caller.user_id)
    return _make_page(page, user_id=user_id)


async def _read_page(log: str, query: HistoryQuery, reader: str = "") -> Page:
    return await history().read_page(
        log, query.limit, before=query.before, after=query.after, reader=reader
    )


def _make_page(page: Page, **conversation: str) -> HistoryPage:
    head = page.head
    return HistoryPage(
        head.epoch, head.seq, head.first, page.messages, page.more, page.changes, **conversation
    )
