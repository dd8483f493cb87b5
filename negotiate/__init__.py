"""Who comes in, and what they may hear: the page, tokens, streams, histories, who is here."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import azure.functions as func
import msgspec

from negotiate import web
from negotiate.health import check
from negotiate.identity import Caller, identity
from realtime.answers import answering, body, json, number
from realtime.channels import checked_room, checked_user, conversation, group_of
from realtime.history import PAGE, Head, Page, history
from realtime.hub import hub
from realtime.limits import Limit
from realtime.messages import Entry, Refused, timestamp
from realtime.people import Place, people
from realtime.presence import presence
from realtime.rooms import rooms
from realtime.settings import settings
from realtime.stream import Stream, catalogue, streams

bp = func.Blueprint()

OPEN = func.AuthLevel.ANONYMOUS
"""Open to the platform; who may do what is decided here."""


# --- coming in ------------------------------------------------------------------------------


class Wish(msgspec.Struct, frozen=True):
    """What somebody asks for who wants to come in."""

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


class Admission(msgspec.Struct, frozen=True):
    """What somebody gets who may come in. `url` is complete; `latest` has each group's frame."""

    url: str
    token: str
    expires_on: str
    user_id: str
    room: str | None
    groups: list[str]
    session: str | None
    latest: dict[str, Any]


@bp.function_name("negotiate")
@bp.route("api/negotiate", methods=["GET", "POST"], auth_level=OPEN)
@answering
async def negotiate(req: func.HttpRequest) -> func.HttpResponse:
    """A token to connect with, for one person and what they may hear."""
    wish = body(req, Wish) if req.get_body() else msgspec.convert(dict(req.params), Wish)
    room = None if wish.room is None else checked_room(wish.room)
    asked = wish.streams()
    caller = await identity().enter(req.headers, wish.user_id)
    _negotiates().spend(caller.user if caller.known else _address(req))
    await people().admit(caller.user)
    if room:
        await rooms().enter(room, caller.user)
    return json(await _admission(caller, room, asked))


async def _admission(caller: Caller, room: str | None, asked: Sequence[Stream]) -> Admission:
    groups = [stream.group for stream in asked]
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
        latest={stream.group: await streams().latest(stream) for stream in asked},
    )


def _address(req: func.HttpRequest) -> str:
    """Where a newcomer calls from: the last hop that the platform's front end has written."""
    return req.headers.get("x-forwarded-for", "").rpartition(",")[2].strip() or "unknown"


@cache
def _negotiates() -> Limit:
    return Limit("connections", settings().negotiates_per_minute)


# --- streams --------------------------------------------------------------------------------


@bp.function_name("stream_list")
@bp.route("api/streams", methods=["GET"], auth_level=OPEN)
@answering
async def stream_list(req: func.HttpRequest) -> func.HttpResponse:
    """Every stream, how it is, and its last frame."""
    now = datetime.now(UTC)
    return json({"streams": [await streams().status(one, now) for one in catalogue.values()]})


@bp.function_name("stream_show")
@bp.route("api/streams/{name}", methods=["GET"], auth_level=OPEN)
@answering
async def stream_show(req: func.HttpRequest) -> func.HttpResponse:
    """One stream, how it is, and its last frame."""
    return json(await streams().status(_stream(req), datetime.now(UTC)))


@bp.function_name("stream_subscribe")
@bp.route("api/streams/{name}/subscribe", methods=["POST"], auth_level=OPEN)
@answering
async def stream_subscribe(req: func.HttpRequest) -> func.HttpResponse:
    """Hear a stream, on every present and later connection of the caller."""
    stream, caller = _stream(req), await _caller(req)
    await streams().subscribe(caller.user, stream)
    return json(
        {
            "subscribed": True,
            "stream": stream.name,
            "group": stream.group,
            "latest": await streams().latest(stream),
        }
    )


@bp.function_name("stream_unsubscribe")
@bp.route("api/streams/{name}/unsubscribe", methods=["POST"], auth_level=OPEN)
@answering
async def stream_unsubscribe(req: func.HttpRequest) -> func.HttpResponse:
    """Hear a stream no longer, on any connection of the caller."""
    stream, caller = _stream(req), await _caller(req)
    await streams().unsubscribe(caller.user, stream)
    return json({"subscribed": False, "stream": stream.name, "group": stream.group})


def _stream(req: func.HttpRequest) -> Stream:
    stream = catalogue.get(req.route_params["name"])
    if stream is None:
        raise Refused("unknown_stream", f"Expected one of {', '.join(catalogue)}.")
    return stream


# --- rooms and people -----------------------------------------------------------------------


@bp.function_name("room_list")
@bp.route("api/rooms", methods=["GET"], auth_level=OPEN)
@answering
async def room_list(req: func.HttpRequest) -> func.HttpResponse:
    """The caller's rooms and direct conversations, with what is unread."""
    caller = await _caller(req)
    places = await people().places(caller.user)
    logs = [
        place.name if place.kind == "room" else conversation(caller.user, place.name)
        for place in places
    ]
    heads = await asyncio.gather(*(history().head(log) for log in logs))
    standings = [_standing(place, head) for place, head in zip(places, heads, strict=True)]
    return json(
        {
            "rooms": [one for one in standings if "room" in one],
            "direct": [one for one in standings if "user_id" in one],
        }
    )


def _standing(place: Place, head: Head) -> dict[str, Any]:
    return {
        "room" if place.kind == "room" else "user_id": place.name,
        "epoch": head.epoch,
        "head": head.seq,
        "read": place.read,
        "unread": max(0, head.seq - place.read),
    }


class Chapter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of a room's history, or of the conversation with one person; oldest first."""

    epoch: str
    head: int
    first: int
    messages: list[Entry]
    more: bool
    room: str | None = None
    user_id: str | None = None


@bp.function_name("room_history")
@bp.route("api/rooms/{room}/history", methods=["GET"], auth_level=OPEN)
@answering
async def room_history(req: func.HttpRequest) -> func.HttpResponse:
    """What was said in a room: the newest messages, or those before or after a seq."""
    room, _ = await _entered(req)
    return json(_chapter(await _page(req, room), room=room))


@bp.function_name("direct_history")
@bp.route("api/direct/{user_id}/history", methods=["GET"], auth_level=OPEN)
@answering
async def direct_history(req: func.HttpRequest) -> func.HttpResponse:
    """What the caller and one person have said to each other."""
    caller = await _caller(req)
    user = checked_user(req.route_params["user_id"])
    page = await _page(req, conversation(caller.user, user))
    return json(_chapter(page, user_id=user))


async def _page(req: func.HttpRequest, log: str) -> Page:
    return await history().page(
        log,
        number(req, "limit", 1, PAGE, "invalid_limit") or 50,
        before=number(req, "before", 1, 2**62, "invalid_cursor"),
        after=number(req, "after", 0, 2**62, "invalid_cursor"),
    )


def _chapter(page: Page, **where: str) -> Chapter:
    head = page.head
    return Chapter(head.epoch, head.seq, head.first, page.entries, page.more, **where)


@bp.function_name("room_users")
@bp.route("api/rooms/{room}/users", methods=["GET"], auth_level=OPEN)
@answering
async def room_users(req: func.HttpRequest) -> func.HttpResponse:
    """Who is in a room now."""
    room, _ = await _entered(req)
    roster = await presence().roster(room)
    return json({"room": room, "users": roster.first_page(), "count": len(roster.people)})


@bp.function_name("user_show")
@bp.route("api/user/{user_id}", methods=["GET"], auth_level=OPEN)
@answering
async def user_show(req: func.HttpRequest) -> func.HttpResponse:
    """Whether somebody is connected."""
    await _caller(req)
    user = checked_user(req.route_params["user_id"])
    return json({"user_id": user, "online": await hub().online(user)})


async def _caller(req: func.HttpRequest) -> Caller:
    caller = await identity().caller(req.headers)
    await people().admit(caller.user)
    return caller


async def _entered(req: func.HttpRequest) -> tuple[str, Caller]:
    """The room of the route, when the caller may know of it."""
    caller = await _caller(req)
    room = checked_room(req.route_params["room"])
    await rooms().enter(room, caller.user)
    return room, caller


# --- the page, and whether all is well --------------------------------------------------------


@bp.function_name("page")
@bp.route("{ignored:maxlength(0)?}", methods=["GET"], auth_level=OPEN)
@answering
async def page(req: func.HttpRequest) -> func.HttpResponse:
    """The page; its content security policy allows our own files and our own hub, nothing else."""
    return _file("index.html", {"Content-Security-Policy": web.policy(hub().endpoint)})


@bp.function_name("page_asset")
@bp.route("assets/{file}", methods=["GET"], auth_level=OPEN)
@answering
async def page_asset(req: func.HttpRequest) -> func.HttpResponse:
    """A file that the page needs."""
    return _file(req.route_params["file"])


def _file(name: str, headers: Mapping[str, str] | None = None) -> func.HttpResponse:
    file = web.read(name)
    if file is None:
        return func.HttpResponse("Not here. web/README.md tells how to build it.", status_code=404)
    return func.HttpResponse(
        file.content, mimetype=file.type, headers={**web.HEADERS, **(headers or {})}
    )


@bp.function_name("health")
@bp.route("api/health", methods=["GET"], auth_level=OPEN)
@answering
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Whether what we depend on answers, and how old each stream's last frame is."""
    report = await check()
    return json(report, 200 if report.status == "ok" else 503)
