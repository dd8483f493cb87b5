"""The users who are in a room, and whether a user is connected."""

import asyncio

import azure.functions as func
from msgspec import Struct

from api.authorization import authorize_room
from api.blueprint import bp
from realtime.azure.web_pubsub import hub
from realtime.http import Access, endpoint
from realtime.messages import RoomUser
from realtime.names import validate_room, validate_user_id
from realtime.rooms.access import add_roles
from realtime.rooms.presence import presence
from realtime.rooms.room_store import room_store
from realtime.users.caller import authenticate


class PageQuery(Struct, frozen=True):
    """The page that starts after this user id."""

    after: str = ""


class RoomUsers(Struct, frozen=True):
    """A page of the users in a room, and the number of all."""

    room: str
    users: list[RoomUser]
    count: int


@endpoint(
    bp, "GET", "api/rooms/{room}/users", Access.SESSION, errors="invalid_room unknown_room removed"
)
async def room_users(req: func.HttpRequest, query: PageQuery) -> RoomUsers:
    """List the users who are in a room now, up to 200 a page, by user id."""
    room, _ = await authorize_room(req)
    return await _read_roster(room, query)


@endpoint(bp, "GET", "api/server/rooms/{room}/users", Access.SERVER, errors="invalid_room")
async def server_room_users(req: func.HttpRequest, query: PageQuery) -> RoomUsers:
    """List the users who are in any room now, by key."""
    return await _read_roster(validate_room(req.route_params["room"]), query)


async def _read_roster(room: str, query: PageQuery) -> RoomUsers:
    roster, stored = await asyncio.gather(presence().roster(room), room_store().read_room(room))
    users = roster.page(query.after)
    return RoomUsers(room, add_roles(users, stored), len(roster.present))


class OnlineResponse(Struct, frozen=True):
    user_id: str
    online: bool


@endpoint(bp, "GET", "api/users/{user_id}/online", Access.SESSION, errors="invalid_user")
async def user_online(req: func.HttpRequest) -> OnlineResponse:
    """Get whether a user is connected."""
    await authenticate(req.headers)
    return await _find_user(req)


@endpoint(bp, "GET", "api/server/users/{user_id}/online", Access.SERVER, errors="invalid_user")
async def server_user_online(req: func.HttpRequest) -> OnlineResponse:
    """Get whether a user is connected, by key."""
    return await _find_user(req)


async def _find_user(req: func.HttpRequest) -> OnlineResponse:
    user_id = validate_user_id(req.route_params["user_id"])
    return OnlineResponse(user_id, await hub().user_exists(user_id))
