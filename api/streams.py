"""Streams: list, status, subscribe and unsubscribe."""

import asyncio
from datetime import UTC, datetime

import azure.functions as func
from msgspec import Struct

from api.blueprint import bp
from realtime.errors import ApiError
from realtime.http import Access, endpoint
from realtime.messages import Frame
from realtime.streams.definition import Stream, is_off, registry
from realtime.streams.status import StreamStatus, read_latest, read_status
from realtime.streams.store import stream_store
from realtime.streams.subscriber_runs import subscriber_runs
from realtime.streams.subscriptions import subscriptions
from realtime.users.caller import authenticate


class StreamList(Struct, frozen=True):
    streams: list[StreamStatus]


@endpoint(bp, "GET", "api/streams", Access.PUBLIC)
async def stream_list(req: func.HttpRequest) -> StreamList:
    """List all streams with their status and last frame."""
    return StreamList(list(await asyncio.gather(*map(_read_status, registry.values()))))


@endpoint(bp, "GET", "api/streams/{name}", Access.PUBLIC, errors="unknown_stream")
async def stream_show(req: func.HttpRequest) -> StreamStatus:
    """Get one stream with its status and last frame."""
    return await _read_status(_stream_of(req))


async def _read_status(stream: Stream) -> StreamStatus:
    now = datetime.now(UTC)
    return await read_status(stream_store(), stream, now, is_off=is_off(stream.name))


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
    await subscriber_runs().start_groups([stream.group])
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


class RunRequest(Struct, frozen=True):
    """Which run continues, and until when (seconds since 1970; 0 at its beginning)."""

    run_id: str
    until: float = 0.0


class RunResponse(Struct, frozen=True):
    outcome: str


@endpoint(bp, "POST", "api/streams/{name}/run", Access.PUBLIC, documented=False)
async def stream_run(req: func.HttpRequest, body: RunRequest) -> RunResponse:
    """Continue a run of a stream; the app calls this itself, with the run's secret id."""
    outcome = await subscriber_runs().continue_run(_stream_of(req), body.run_id, body.until)
    return RunResponse(outcome.value)


def _stream_of(req: func.HttpRequest) -> Stream:
    stream = registry.get(req.route_params["name"])
    if stream is None:
        raise ApiError("unknown_stream", f"Expected one of {', '.join(registry)}.")
    return stream
