"""The room of a request, once its caller is known to have access to it, and who acts on rooms."""

from collections.abc import Mapping
from functools import partial

import azure.functions as func

from realtime.errors import ApiError
from realtime.identity.caller import Caller
from realtime.names import validate_room
from realtime.rate_limit import RateLimiter
from realtime.rooms.access import room_access
from realtime.rooms.administration import Actor
from realtime.users.audit import audit_log, record_act
from realtime.users.caller import authenticate


async def authorize_room(req: func.HttpRequest) -> tuple[str, Caller]:
    """The room of the route, and the caller. Raises ApiError if the caller may not enter it.

    An operator reads every room.
    """
    caller = await authenticate(req.headers)
    room = validate_room(req.route_params["room"])
    if not is_operator(caller):
        await room_access().check(room, caller.user_id)
    return room, caller


async def authenticate_operator(req: func.HttpRequest) -> Caller:
    """The caller. Raises ApiError for everybody but operators."""
    caller = await authenticate(req.headers)
    require_operator(caller)
    return caller


def require_operator(caller: Caller) -> None:
    """Raises ApiError `forbidden` for everybody but operators."""
    if not is_operator(caller):
        raise ApiError("forbidden", "Only operators may do this.")


def is_operator(caller: Caller) -> bool:
    """Whether the caller's session was minted for an operator."""
    return caller.session is not None and caller.session.operator


def server_actor(headers: Mapping[str, str]) -> Actor:
    """Whoever called with a function key."""
    return Actor(None, partial(record_act, headers))


async def authorize_actor(req: func.HttpRequest, limiter: RateLimiter) -> tuple[str, Actor]:
    """The room of the route, and the caller as an actor: a user of the room, or an operator.

    The limit holds for users. Raises ApiError above it, as over the socket.
    """
    caller = await authenticate(req.headers)
    room = validate_room(req.route_params["room"])
    record = partial(audit_log().add, caller.user_id)
    if is_operator(caller):
        return room, Actor(None, record)
    limiter.acquire(caller.user_id)
    await room_access().check(room, caller.user_id)
    return room, Actor(caller.user_id, record)
