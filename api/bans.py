"""Bans of users."""

import azure.functions as func
from msgspec import Struct

from api.blueprint import bp
from realtime.azure.web_pubsub import hub
from realtime.http import Access, endpoint
from realtime.names import validate_user_id
from realtime.users.audit import record_act
from realtime.users.bans import bans


class BanResponse(Struct, frozen=True):
    user_id: str
    banned: bool


@endpoint(bp, "PUT DELETE", "api/users/{user_id}/ban", Access.SERVER, errors="invalid_user")
async def user_ban(req: func.HttpRequest) -> BanResponse:
    """Ban a user, whose connections are closed at once, or remove the ban."""
    return await change_ban(req)


async def change_ban(req: func.HttpRequest) -> BanResponse:
    """Do it for a caller who is authorized, and record it."""
    user_id = validate_user_id(req.route_params["user_id"])
    await record_act(req.headers, "ban" if req.method == "PUT" else "remove ban", user_id)
    if req.method == "PUT":
        await bans().add(user_id)
        await hub().close_user_connections(user_id, "banned")
    else:
        await bans().remove(user_id)
    return BanResponse(user_id, req.method == "PUT")
