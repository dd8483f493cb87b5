"""The room of a request, once its caller is known to have access to it."""

import azure.functions as func

from realtime.identity.caller import Caller
from realtime.names import validate_room
from realtime.rooms.access import room_access
from realtime.users.caller import authenticate


async def authorize_room(req: func.HttpRequest) -> tuple[str, Caller]:
    """The room of the route, and the caller. Raises ApiError if the caller may not enter it."""
    caller = await authenticate(req.headers)
    room = validate_room(req.route_params["room"])
    await room_access().check(room, caller.user_id)
    return room, caller
