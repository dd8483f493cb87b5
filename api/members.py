"""The members of rooms: who they are, their roles, and mutes."""

from typing import Annotated

import azure.functions as func
from msgspec import Meta, Struct

from api.authorization import authorize_room, is_operator, server_actor
from api.blueprint import bp
from realtime.concurrency import gather_limited
from realtime.http import Access, endpoint, parse_body
from realtime.identity.profiles import profiles
from realtime.names import Role, validate_room, validate_user_id
from realtime.requests import DEFAULT_REMOVAL_MINUTES, Minutes
from realtime.rooms.access import room_access
from realtime.rooms.administration import Actor, administration
from realtime.rooms.room_store import StoredMember, StoredRoom, room_store

MAX_PAGE_MEMBERS = 100


class MemberSettings(Struct, frozen=True):
    """The role that a user gets."""

    role: Role = "member"


class RemovalQuery(Struct, frozen=True):
    """How long an open room refuses the user."""

    minutes: Minutes = DEFAULT_REMOVAL_MINUTES


class RoomMember(Struct, frozen=True):
    room: str
    user_id: str
    member: bool
    role: Role


class MuteSettings(Struct, frozen=True):
    """Without `minutes` the mute has no end."""

    minutes: Minutes | None = None


class MuteResponse(Struct, frozen=True):
    """`muted_until` is null once the mute is lifted, and in the year 9999 if it has no end."""

    room: str
    user_id: str
    muted_until: str | None


TARGET_ERRORS = "invalid_room invalid_user user_deleted busy"


@endpoint(
    bp,
    "PUT",
    "api/rooms/{room}/members/{user_id}",
    Access.SERVER,
    request=MemberSettings,
    errors=f"{TARGET_ERRORS} too_many_roles",
)
async def room_member_put(req: func.HttpRequest) -> RoomMember:
    """Add a user to a room, with a role; a user who was removed may enter again."""
    return await put_member(req, *_server_target(req))


@endpoint(
    bp,
    "DELETE",
    "api/rooms/{room}/members/{user_id}",
    Access.SERVER,
    errors=TARGET_ERRORS,
)
async def room_member_delete(req: func.HttpRequest, query: RemovalQuery) -> RoomMember:
    """Remove a user from a room, at once; an open room refuses the user for some time."""
    return await delete_member(req, query, *_server_target(req))


@endpoint(
    bp,
    "PUT",
    "api/rooms/{room}/members/{user_id}/mute",
    Access.SERVER,
    request=MuteSettings,
    errors=TARGET_ERRORS,
)
async def room_mute_put(req: func.HttpRequest) -> MuteResponse:
    """Mute a user in a room: the user may read only."""
    return await put_mute(req, *_server_target(req))


@endpoint(
    bp, "DELETE", "api/rooms/{room}/members/{user_id}/mute", Access.SERVER, errors=TARGET_ERRORS
)
async def room_mute_delete(req: func.HttpRequest) -> MuteResponse:
    """Lift the mute of a user."""
    return await delete_mute(req, *_server_target(req))


def _server_target(req: func.HttpRequest) -> tuple[str, Actor]:
    return validate_room(req.route_params["room"]), server_actor(req.headers)


# --- the same for every authenticated caller ------------------------------------------------


async def put_member(req: func.HttpRequest, room: str, actor: Actor) -> RoomMember:
    user_id = validate_user_id(req.route_params["user_id"])
    role = parse_body(req, MemberSettings).role if req.get_body() else "member"
    await administration().change_role(room, actor, user_id, role)
    return RoomMember(room, user_id, member=True, role=role)


async def delete_member(
    req: func.HttpRequest, query: RemovalQuery, room: str, actor: Actor
) -> RoomMember:
    user_id = validate_user_id(req.route_params["user_id"])
    await administration().remove(room, actor, user_id, query.minutes)
    return RoomMember(room, user_id, member=False, role="member")


async def put_mute(req: func.HttpRequest, room: str, actor: Actor) -> MuteResponse:
    user_id = validate_user_id(req.route_params["user_id"])
    minutes = parse_body(req, MuteSettings).minutes if req.get_body() else None
    until = await administration().mute(room, actor, user_id, minutes)
    return MuteResponse(room, user_id, until)


async def delete_mute(req: func.HttpRequest, room: str, actor: Actor) -> MuteResponse:
    user_id = validate_user_id(req.route_params["user_id"])
    await administration().mute(room, actor, user_id, None, on=False)
    return MuteResponse(room, user_id, None)


# --- the list -------------------------------------------------------------------------------


class MemberQuery(Struct, frozen=True):
    """The page that starts after this user id."""

    after: Annotated[str, Meta(max_length=64)] = ""


class MemberSummary(Struct, frozen=True, omit_defaults=True):
    """A user of whom something is stored in the room."""

    user_id: str
    name: str
    role: Role
    member: bool
    muted_until: str | None = None
    removed_until: str | None = None


class MemberList(Struct, frozen=True, omit_defaults=True):
    """One page by user id; `next` is the `after` of the next one, where there is one."""

    room: str
    members: list[MemberSummary]
    next: str | None = None


@endpoint(
    bp,
    "GET",
    "api/rooms/{room}/members",
    Access.SESSION,
    errors="invalid_room unknown_room removed",
)
async def room_members(req: func.HttpRequest, query: MemberQuery) -> MemberList:
    """List the owners and moderators of a room.

    Owners, moderators and operators see everybody of whom something is stored: members of a
    private room, and who is muted or removed.
    """
    room, caller = await authorize_room(req)
    stored = await room_store().read_room(room)
    if not is_operator(caller) and caller.user_id not in stored.roles:
        users = sorted(user for user in stored.roles if user > query.after)
        found = [StoredMember(user, member=True) for user in users]
        return MemberList(room, await gather_limited(_summarize(stored, one) for one in found))
    found, following = await room_store().list_members(room, MAX_PAGE_MEMBERS, query.after)
    # Owners who were named with the room's settings have no row of their own.
    rows = {one.user_id: one for one in found}
    for user in stored.roles:
        if user > query.after and (following is None or user <= following):
            rows.setdefault(user, StoredMember(user, member=True))
    found = [rows[user] for user in sorted(rows)]
    return MemberList(
        room, await gather_limited(_summarize(stored, one) for one in found), following
    )


async def _summarize(room: StoredRoom, user: StoredMember) -> MemberSummary:
    role: Role = room.roles.get(user.user_id, "member")
    access = room_access()
    return MemberSummary(
        user.user_id,
        await profiles().name_of(user.user_id),
        role,
        user.member or role != "member",
        user.muted_until if access.is_muted(user) else None,
        user.removed_until if access.is_removed(user) else None,
    )
