"""The settings of rooms."""

import azure.functions as func
from msgspec import Struct

from api.authorization import authorize_room, server_actor
from api.blueprint import bp
from realtime.contents import validate_title, validate_topic
from realtime.http import Access, endpoint
from realtime.names import Role, validate_room, validate_user_id
from realtime.rooms.access import RoomState, room_access
from realtime.rooms.administration import administration


class RoomSettings(Struct, frozen=True):
    """Only members may enter a private room. The directory has the open rooms that are `listed`.

    `owners` replaces the owners; without it they stay.
    """

    private: bool = False
    listed: bool = False
    title: str = ""
    topic: str = ""
    owners: list[str] | None = None


class Room(Struct, frozen=True):
    room: str
    private: bool
    listed: bool
    title: str
    topic: str
    owners: list[str]


class RoomDetails(Struct, frozen=True, omit_defaults=True):
    """A room with the role of the caller, and until when the caller is muted."""

    room: str
    private: bool
    listed: bool
    title: str
    topic: str
    role: Role
    muted_until: str | None = None


@endpoint(
    bp,
    "PUT",
    "api/rooms/{room}",
    Access.SERVER,
    errors="invalid_room invalid_user invalid_title invalid_topic too_many_roles user_deleted busy",
)
async def room_put(req: func.HttpRequest, body: RoomSettings) -> Room:
    """Create a room, or change the one that exists; the users in it are told."""
    room = validate_room(req.route_params["room"])
    owners = None if body.owners is None else [validate_user_id(one) for one in body.owners]
    stored = await administration().change_settings(
        room,
        server_actor(req.headers),
        owners,
        private=body.private,
        listed=body.listed,
        title=validate_title(body.title),
        topic=validate_topic(body.topic),
    )
    return Room(room, stored.private, stored.listed, stored.title, stored.topic, stored.owners)


@endpoint(bp, "GET", "api/rooms/{room}", Access.SESSION, errors="invalid_room unknown_room removed")
async def room_show(req: func.HttpRequest) -> RoomDetails:
    """Get a room's settings, and the caller's role in it."""
    room, caller = await authorize_room(req)
    return make_room_details(room, await room_access().read_state(room, caller.user_id))


def make_room_details(room: str, state: RoomState) -> RoomDetails:
    stored = state.room
    return RoomDetails(
        room,
        stored.private,
        stored.listed,
        stored.title,
        stored.topic,
        state.role,
        room_access().end_of_mute(state),
    )
