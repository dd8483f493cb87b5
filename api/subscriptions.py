"""The streams to which a user has subscribed, for servers and operators."""

import azure.functions as func
from msgspec import Struct

from api.authorization import authenticate_operator
from api.blueprint import bp
from realtime.http import Access, endpoint
from realtime.names import validate_user_id
from realtime.streams.subscriptions import subscriptions


class Subscription(Struct, frozen=True):
    stream: str
    group: str


class SubscriptionList(Struct, frozen=True):
    """The streams of a user that exist now, by name."""

    user_id: str
    subscriptions: list[Subscription]


@endpoint(bp, "GET", "api/users/{user_id}/subscriptions", Access.SERVER, errors="invalid_user")
async def user_subscriptions(req: func.HttpRequest) -> SubscriptionList:
    """List the streams to which a user has subscribed."""
    return await _list_subscriptions(req)


@endpoint(
    bp, "GET", "api/operator/users/{user_id}/subscriptions", Access.SESSION, errors="invalid_user"
)
async def operator_subscriptions(req: func.HttpRequest) -> SubscriptionList:
    """List the same with an operator's session."""
    await authenticate_operator(req)
    return await _list_subscriptions(req)


async def _list_subscriptions(req: func.HttpRequest) -> SubscriptionList:
    user_id = validate_user_id(req.route_params["user_id"])
    streams = await subscriptions().list_streams(user_id)
    return SubscriptionList(user_id, [Subscription(one.name, one.group) for one in streams])
