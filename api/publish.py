"""Publishes a JSON object without storing it."""

from typing import Any

import azure.functions as func
from msgspec import Struct, structs

from api.blueprint import bp
from realtime.azure.web_pubsub import hub
from realtime.errors import ApiError
from realtime.http import Access, endpoint
from realtime.names import validate_group, validate_user_id
from realtime.users.audit import record_act


class PublishTarget(Struct, frozen=True):
    """A group or a user; with neither, all connections."""

    group: str | None = None
    user: str | None = None


class PublishResponse(Struct, frozen=True):
    status: str
    group: str | None
    user: str | None


@endpoint(bp, "POST", "api/publish", Access.SERVER, errors="invalid_room invalid_user")
async def publish(
    req: func.HttpRequest, query: PublishTarget, body: dict[str, Any]
) -> PublishResponse:
    """Publish a JSON object to a group, to a user, or to all; it is not stored."""
    if query.group is not None and query.user is not None:
        raise ApiError("invalid_request", "Expected a group or a user, not both.")
    if query.group is not None:
        query = structs.replace(query, group=validate_group(query.group))
    elif query.user is not None:
        validate_user_id(query.user)
    await record_act(req.headers, "publish", query.group or query.user or "all")
    await _send(query, body)
    return PublishResponse("sent", query.group, query.user)


async def _send(query: PublishTarget, body: dict[str, Any]) -> None:
    if query.group is not None:
        await hub().send_to_group(query.group, body)
    elif query.user is not None:
        await hub().send_to_user(query.user, body)
    else:
        await hub().send_to_all(body)
