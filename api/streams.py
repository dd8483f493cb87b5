"""Streams: list, status, subscribe and unsubscribe."""

from datetime import UTC, datetime

import azure.functions as func
from msgspec import Struct

from api.blueprint import bp
from realtime.errors import ApiError
from realtime.http import Access, endpoint
from realtime.messages import Frame
from realtime.streams.definition import Stream, registry
from realtime.streams.status import StreamStatus, read_latest, read_status
from realtime.streams.store import stream_store
from realtime.streams.subscriptions import subscriptions
from realtime.users.caller import authenticate


class StreamList(Struct, frozen=True):
    streams: list[StreamStatus]


@endpoint(bp, "GET", "api/streams", Access.PUBLIC)
async def stream_list(req: func.HttpRequest) -> StreamList:
    """List all streams with their status and last frame."""
    now = datetime.now(UTC)
    return StreamList([await read_status(stream_store(), one, now) for one in registry.values()])


@endpoint(bp, "GET", "api/streams/{name}", Access.PUBLIC, errors="unknown_stream")
async def stream_show(req: func.HttpRequest) -> StreamStatus:
    """Get one stream with its status and last frame."""
    return await read_status(stream_store(), _stream_of(req), datetime.now(UTC))


class SubscribeResponse(Struct, frozen=True):
    subscribed: bool
    stream: str
    group: str
    latest: Frame | None


@endpoint(bp, "POST", "api/streams/{name}/subscribe", Access.SESSION, errors="unknown_stream")
async def stream_subscribe(req: func.HttpRequest) -> SubscribeResponse:
    """Subscribe the caller to a stream, for present and later connections."""
    stream, caller = _stream_of(req), await authenticate(req.headers)
    await subscriptions().add(caller.user_id, stream)
    latest = await read_latest(stream_store(), stream, datetime.now(UTC))
    return SubscribeResponse(subscribed=True, stream=stream.name, group=stream.group, latest=latest)


class UnsubscribeResponse(Struct, frozen=True):
    subscribed: bool
    stream: str
    group: str


@endpoint(bp, "POST", "api/streams/{name}/unsubscribe", Access.SESSION, errors="unknown_stream")
async def stream_unsubscribe(req: func.HttpRequest) -> UnsubscribeResponse:
    """Unsubscribe the caller from a stream, on all connections."""
    stream, caller = _stream_of(req), await authenticate(req.headers)
    await subscriptions().remove(caller.user_id, stream)
    return UnsubscribeResponse(subscribed=False, stream=stream.name, group=stream.group)


def _stream_of(req: func.HttpRequest) -> Stream:
    stream = registry.get(req.route_params["name"])
    if stream is None:
        raise ApiError("unknown_stream", f"Expected one of {', '.join(registry)}.")
    return stream
