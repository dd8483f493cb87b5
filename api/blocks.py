"""The users whom the caller blocks."""

import azure.functions as func
from msgspec import Struct

from api.blueprint import bp
from realtime.azure.web_pubsub import hub
from realtime.http import Access, endpoint
from realtime.messages import BlockedEvent
from realtime.names import validate_user_id
from realtime.users.blocks import blocks
from realtime.users.caller import authenticate
from realtime.users.limits import act_limiter


class BlockResponse(Struct, frozen=True):
    user_id: str
    blocked: bool


@endpoint(
    bp,
    "PUT",
    "api/users/{user_id}/block",
    Access.SESSION,
    errors="invalid_user invalid_target too_many_blocks rate_limited",
)
async def user_block_put(req: func.HttpRequest) -> BlockResponse:
    """Block a user, who is not told.

    Direct messages of either to the other are not delivered any more, nor are mentions of the
    caller by the user.
    """
    caller_id, user_id = await _authorize(req)
    await blocks().add(caller_id, user_id)
    await hub().send_to_user(caller_id, BlockedEvent(user_id, on=True))
    return BlockResponse(user_id, blocked=True)


@endpoint(
    bp,
    "DELETE",
    "api/users/{user_id}/block",
    Access.SESSION,
    errors="invalid_user rate_limited",
)
async def user_block_delete(req: func.HttpRequest) -> BlockResponse:
    """End the block of a user."""
    caller_id, user_id = await _authorize(req)
    await blocks().remove(caller_id, user_id)
    await hub().send_to_user(caller_id, BlockedEvent(user_id, on=False))
    return BlockResponse(user_id, blocked=False)


async def _authorize(req: func.HttpRequest) -> tuple[str, str]:
    """The ids of the caller and of the other user. Raises ApiError above the limit of acts."""
    caller = await authenticate(req.headers)
    user_id = validate_user_id(req.route_params["user_id"])
    act_limiter().acquire(caller.user_id)
    return caller.user_id, user_id
