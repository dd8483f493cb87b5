"""Who comes in, and what they may hear: tokens, streams, histories, who is here, the page."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any

import azure.functions as func
import msgspec
from msgspec import Meta, Struct

from negotiate import openapi, reference, web
from negotiate.health import Report, check
from negotiate.identity import Caller, address_of, identity
from realtime.answers import Access, body_of, endpoint, json
from realtime.channels import checked_room, checked_user, conversation, group_of
from realtime.history import PAGE, Page, history
from realtime.hub import hub
from realtime.limits import Limit
from realtime.logs import Head
from realtime.messages import Entry, Frame, Present, Refused, timestamp
from realtime.people import Place, people
from realtime.presence import presence
from realtime.rooms import rooms
from realtime.settings import settings
from realtime.stream import Status, Stream, catalogue, streams
from realtime.tables import few_at_once

bp = func.Blueprint()


# --- coming in ------------------------------------------------------------------------------


class Wish(Struct, frozen=True):
    """What somebody asks for who wants to come in; also as a query, groups with commas."""

    user_id: str = ""
    room: str | None = None
    groups: list[str] | str = ""

    def streams(self) -> list[Stream]:
        """The streams of the groups asked for; nobody is put into any other group."""
        asked = self.groups.split(",") if isinstance(self.groups, str) else self.groups
        by_group = {stream.group: stream for stream in catalogue.values()}
        names = list(dict.fromkeys(one.strip() for one in asked if one.strip()))
        for name in names:
            if name not in by_group:
                raise Refused("unknown_group", f"Expected some of {', '.join(by_group)}.")
        return [by_group[name] for name in names]


class Admission(Struct, frozen=True):
    """What somebody gets who may come in.

    `url` is complete; `expires_on` is the token's own; `session` proves a guest from now on;
    `latest` has the last frame of each group.
    """

    url: str
    token: str
    expires_on: str
    user_id: str
    room: str | None
    groups: list[str]
    session: str | None
    latest: dict[str, Frame | None]


@endpoint(bp, "GET POST", "api/negotiate", Access.OPEN, asks=Wish)
async def negotiate(req: func.HttpRequest) -> Admission:
    """A token to connect with, for one person and what they may hear."""
    wish = body_of(req, Wish) if req.get_body() else msgspec.convert(dict(req.params), Wish)
    room = None if wish.room is None else checked_room(wish.room)
    asked = wish.streams()
    caller = await identity().enter(req.headers, wish.user_id)
    _negotiates().spend(caller.user if caller.known else address_of(req.headers))
    await people().admit(caller.user)
    if room:
        await rooms().stay(room, caller.user)
    return await _admission(caller, room, asked)


async def _admission(caller: Caller, room: str | None, asked: Sequence[Stream]) -> Admission:
    groups = [stream.group for stream in asked]
    latest = await asyncio.gather(*(streams().latest(stream) for stream in asked))
    ticket = await hub().ticket(
        caller.user,
        groups=[*groups, *([group_of(room)] if room else [])],
        roles=[f"webpubsub.joinLeaveGroup.{stream.group}" for stream in catalogue.values()],
    )
    return Admission(
        url=ticket.url,
        token=ticket.token,
        expires_on=timestamp(datetime.fromtimestamp(ticket.expires_on, UTC)),
        user_id=caller.user,
        room=room,
        groups=groups,
        session=caller.session,
        latest=dict(zip(groups, latest, strict=True)),
    )


@cache
def _negotiates() -> Limit:
    return Limit("connections", settings().negotiates_per_minute)


# --- streams --------------------------------------------------------------------------------


class Streams(Struct, frozen=True):
    streams: list[Status]


@endpoint(bp, "GET", "api/streams", Access.OPEN)
async def stream_list(req: func.HttpRequest) -> Streams:
    """Every stream, how it is, and its last frame."""
    now = datetime.now(UTC)
    return Streams([await streams().status(one, now) for one in catalogue.values()])


@endpoint(bp, "GET", "api/streams/{name}", Access.OPEN)
async def stream_show(req: func.HttpRequest) -> Status:
    """One stream, how it is, and its last frame."""
    return await streams().status(_stream(req), datetime.now(UTC))


class Subscribed(Struct, frozen=True):
    subscribed: bool
    stream: str
    group: str
    latest: Frame | None


@endpoint(bp, "POST", "api/streams/{name}/subscribe", Access.WHO)
async def stream_subscribe(req: func.HttpRequest) -> Subscribed:
    """Hear a stream, on every present and later connection of the caller."""
    stream, caller = _stream(req), await _caller(req)
    await streams().subscribe(caller.user, stream)
    return Subscribed(
        subscribed=True,
        stream=stream.name,
        group=stream.group,
        latest=await streams().latest(stream),
    )


class Unsubscribed(Struct, frozen=True):
    subscribed: bool
    stream: str
    group: str


@endpoint(bp, "POST", "api/streams/{name}/unsubscribe", Access.WHO)
async def stream_unsubscribe(req: func.HttpRequest) -> Unsubscribed:
    """Hear a stream no longer, on any connection of the caller."""
    stream, caller = _stream(req), await _caller(req)
    await streams().unsubscribe(caller.user, stream)
    return Unsubscribed(subscribed=False, stream=stream.name, group=stream.group)


def _stream(req: func.HttpRequest) -> Stream:
    stream = catalogue.get(req.route_params["name"])
    if stream is None:
        raise Refused("unknown_stream", f"Expected one of {', '.join(catalogue)}.")
    return stream


# --- rooms and people -----------------------------------------------------------------------


class Standing(Struct, frozen=True, omit_defaults=True):
    """Where somebody stands in a room, or in the conversation with a person."""

    epoch: str
    head: int
    read: int
    unread: int
    room: str | None = None
    private: bool | None = None
    user_id: str | None = None


class Standings(Struct, frozen=True):
    rooms: list[Standing]
    direct: list[Standing]


@endpoint(bp, "GET", "api/rooms", Access.WHO)
async def room_list(req: func.HttpRequest) -> Standings:
    """The caller's rooms and direct conversations, with what is unread."""
    caller = await _caller(req)
    places = await people().places(caller.user)
    found = await few_at_once(_standing(caller.user, place) for place in places)
    standings = [one for one in found if one]
    return Standings(
        [one for one in standings if one.room], [one for one in standings if one.user_id]
    )


async def _standing(user: str, place: Place) -> Standing | None:
    """None for a room that they may no longer know of."""
    if place.kind == "direct":
        head = await history().head(conversation(user, place.name))
        return _stands(head, place.read, user_id=place.name)
    door = await rooms().welcomes(place.name, user)
    if door is None:
        return None
    head = await history().head(place.name)
    return _stands(head, place.read, room=place.name, private=door.private)


def _stands(head: Head, read: int, **where: Any) -> Standing:
    return Standing(head.epoch, head.seq, read, max(0, head.seq - read), **where)


class Span(Struct, frozen=True):
    """Which part of a history: the newest messages, or those before or after a seq."""

    limit: Annotated[int, Meta(ge=1, le=PAGE)] = 50
    before: Annotated[int, Meta(ge=1)] | None = None
    after: Annotated[int, Meta(ge=0)] | None = None


class Chapter(Struct, frozen=True, omit_defaults=True):
    """A page of a room's history, or of the conversation with one person; oldest first.

    `first` is the oldest seq still kept; `more` tells of further ones in the direction asked.
    """

    epoch: str
    head: int
    first: int
    messages: list[Entry]
    more: bool
    room: str | None = None
    user_id: str | None = None


@endpoint(bp, "GET", "api/rooms/{room}/history", Access.WHO)
async def room_history(req: func.HttpRequest, query: Span) -> Chapter:
    """What was said in a room: the newest messages, or those before or after a seq."""
    room = await _entered(req)
    page = await _page(room, query)
    return _chapter(page, room=room)


@endpoint(bp, "GET", "api/direct/{user_id}/history", Access.WHO)
async def direct_history(req: func.HttpRequest, query: Span) -> Chapter:
    """What the caller and one person have said to each other."""
    caller = await _caller(req)
    user = checked_user(req.route_params["user_id"])
    page = await _page(conversation(caller.user, user), query)
    return _chapter(page, user_id=user)


async def _page(log: str, span: Span) -> Page:
    return await history().page(log, span.limit, before=span.before, after=span.after)


def _chapter(page: Page, **where: str) -> Chapter:
    head = page.head
    return Chapter(head.epoch, head.seq, head.first, page.entries, page.more, **where)


class Users(Struct, frozen=True):
    """Who is in a room: in a crowded one some of them, and the number of all."""

    room: str
    users: list[Present]
    count: int


class Position(Struct, frozen=True):
    """Where a page of a list begins: behind this user id."""

    after: str = ""


@endpoint(bp, "GET", "api/rooms/{room}/users", Access.WHO)
async def room_users(req: func.HttpRequest, query: Position) -> Users:
    """Who is in a room now, 200 at a time and in the order of their ids."""
    room = await _entered(req)
    roster = await presence().roster(room)
    return Users(room, roster.page(query.after), len(roster.people))


class User(Struct, frozen=True):
    user_id: str
    online: bool


@endpoint(bp, "GET", "api/user/{user_id}", Access.WHO)
async def user_show(req: func.HttpRequest) -> User:
    """Whether somebody is connected."""
    await _caller(req)
    user = checked_user(req.route_params["user_id"])
    return User(user, await hub().online(user))


async def _caller(req: func.HttpRequest) -> Caller:
    caller = await identity().caller(req.headers)
    await people().admit(caller.user)
    return caller


async def _entered(req: func.HttpRequest) -> str:
    """The room of the route, when the caller may know of it."""
    caller = await _caller(req)
    room = checked_room(req.route_params["room"])
    await rooms().enter(room, caller.user)
    return room


# --- the page, and whether all is well --------------------------------------------------------


@endpoint(bp, "GET", "{ignored:maxlength(0)?}", Access.OPEN)
async def page(req: func.HttpRequest) -> func.HttpResponse:
    """The page."""
    return _file(req, "index.html", {"Content-Security-Policy": web.policy(hub().endpoint)})


@endpoint(bp, "GET", "assets/{file}", Access.OPEN)
async def page_asset(req: func.HttpRequest) -> func.HttpResponse:
    """A file that the page needs."""
    return _file(req, req.route_params["file"])


def _file(
    req: func.HttpRequest, name: str, headers: Mapping[str, str] | None = None
) -> func.HttpResponse:
    """A file of the page: not again to a browser that has it, and packed if it can unpack."""
    file = web.read(name)
    if file is None:
        return func.HttpResponse("Not here. web/README.md tells how to build it.", status_code=404)
    sent = {**web.HEADERS, **(headers or {}), "ETag": file.etag}
    if req.headers.get("if-none-match") == file.etag:
        return func.HttpResponse(status_code=304, headers=sent)
    if "gzip" not in req.headers.get("accept-encoding", ""):
        return func.HttpResponse(file.content, mimetype=file.type, headers=sent)
    sent["Content-Encoding"] = "gzip"
    return func.HttpResponse(file.packed, mimetype=file.type, headers=sent)


@endpoint(bp, "GET", "api/health", Access.OPEN, answer=Report)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Whether what we depend on answers, and how old each stream's last frame is."""
    report = await check()
    return json(report, 200 if report.status == "ok" else 503)


# --- how all this is called -------------------------------------------------------------------


@endpoint(bp, "GET", "api/openapi.json", Access.OPEN, answer=dict[str, Any])
async def api_document(req: func.HttpRequest) -> func.HttpResponse:
    """This document: every HTTP function, what it reads and answers, as OpenAPI 3.1."""
    return json(openapi.document())


@endpoint(bp, "GET", "api/docs", Access.OPEN)
async def api_reference(req: func.HttpRequest) -> func.HttpResponse:
    """The same for people."""
    page = reference.page(openapi.document())
    return func.HttpResponse(page, mimetype="text/html", headers=reference.HEADERS)
