"""Whether a connection exists, for servers and operators."""

import re

import azure.functions as func
from msgspec import Struct

from api.authorization import authenticate_operator
from api.blueprint import bp
from realtime.azure.web_pubsub import hub
from realtime.errors import ApiError
from realtime.http import Access, endpoint

MAX_CONNECTION_ID_LENGTH = 128


class ConnectionResponse(Struct, frozen=True):
    connection_id: str
    connected: bool


@endpoint(bp, "GET", "api/connections/{connection_id}", Access.SERVER, errors="invalid_request")
async def connection_show(req: func.HttpRequest) -> ConnectionResponse:
    """Get whether a WebSocket connection of Web PubSub exists, by its connection id."""
    return await _find_connection(req)


@endpoint(
    bp, "GET", "api/operator/connections/{connection_id}", Access.SESSION, errors="invalid_request"
)
async def operator_connection(req: func.HttpRequest) -> ConnectionResponse:
    """Get the same with an operator's session."""
    await authenticate_operator(req)
    return await _find_connection(req)


async def _find_connection(req: func.HttpRequest) -> ConnectionResponse:
    connection_id = req.route_params["connection_id"]
    if not re.fullmatch(rf"[A-Za-z0-9_-]{{1,{MAX_CONNECTION_ID_LENGTH}}}", connection_id):
        raise ApiError("invalid_request", "Expected a connection id of Web PubSub.")
    return ConnectionResponse(connection_id, await hub().connection_exists(connection_id))
