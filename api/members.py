"""The members of a private room."""

import azure.functions as func
from msgspec import Struct

from api.blueprint import bp
from realtime.http import Access, endpoint
from realtime.names import validate_room, validate_user_id
from realtime.rooms.access import room_access
from realtime.rooms.removal import remove_from_room
from realtime.users.audit import record_act


class RoomMember(Struct, frozen=True):
    room: str
    user_id: str
    member: bool


@endpoint(
    bp,
    "PUT DELETE",
    "api/rooms/{room}/members/{user_id}",
    Access.SERVER,
    errors="invalid_room invalid_user",
)
async def room_member(req: func.HttpRequest) -> RoomMember:
    """Add a member to a private room, or remove one, who then leaves the room at once."""
    room = validate_room(req.route_params["room"])
    user_id = validate_user_id(req.route_params["user_id"])
    action = "add member" if req.method == "PUT" else "remove member"
    await record_act(req.headers, action, f"{room}/{user_id}")
    if req.method == "PUT":
        await room_access().add_member(room, user_id)
    else:
        await room_access().remove_member(room, user_id)
        await remove_from_room(room, user_id)
    return RoomMember(room, user_id, req.method == "PUT")
