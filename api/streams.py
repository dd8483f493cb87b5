"""Streams: list, status, history, subscribe and unsubscribe."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated

import azure.functions as func
from msgspec import Meta, Struct

from api.blueprint import bp
from realtime.concurrency import gather_limited
from realtime.errors import ApiError
from realtime.http import Access, endpoint
from realtime.messages import Frame, format_timestamp
from realtime.rate_limit import RateLimiter
from realtime.streams.definition import StreamInfo, is_off, registry
from realtime.streams.history import MAX_POINTS, HistoryPoint, stream_history
from realtime.streams.pushed import find_stream, list_streams
from realtime.streams.status import StreamStatus, read_latest, read_status
from realtime.streams.store import stream_store
from realtime.streams.subscriber_runs import subscriber_runs
from realtime.streams.subscriptions import subscriptions
from realtime.users.caller import authenticate

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9998, 12, 31, tzinfo=UTC)

SUBSCRIPTIONS_PER_MINUTE = 60
SUBSCRIPTIONS_AT_ONCE = 30
"""A page may show this many streams. Each request writes a row and moves the connections."""


class StreamList(Struct, frozen=True):
    streams: list[StreamStatus]


@endpoint(bp, "GET", "api/streams", Access.PUBLIC)
async def stream_list(req: func.HttpRequest) -> StreamList:
    """List all streams with their status and last frame."""
    streams = await list_streams()
    return StreamList(await gather_limited(map(read_stream_status, streams.values())))


@endpoint(bp, "GET", "api/streams/{name}", Access.PUBLIC, errors="unknown_stream")
async def stream_show(req: func.HttpRequest) -> StreamStatus:
    """Get one stream with its status and last frame."""
    return await read_stream_status(await _find_stream(req))


async def read_stream_status(stream: StreamInfo) -> StreamStatus:
    now = datetime.now(UTC)
    return await read_status(stream_store(), stream, now, is_off=is_off(stream.name))


class SubscribeResponse(Struct, frozen=True):
    subscribed: bool
    stream: str
    group: str
    latest: Frame | None


@endpoint(
    bp,
    "POST",
    "api/streams/{name}/subscribe",
    Access.SESSION,
    errors="unknown_stream rate_limited",
)
async def stream_subscribe(req: func.HttpRequest) -> SubscribeResponse:
    """Subscribe the caller to a stream, for present and later connections."""
    user_id, stream = await _authorize(req)
    await subscriptions().add(user_id, stream)
    await subscriber_runs().start_groups([stream.group])
    latest = await read_latest(stream_store(), stream, datetime.now(UTC))
    return SubscribeResponse(subscribed=True, stream=stream.name, group=stream.group, latest=latest)


class UnsubscribeResponse(Struct, frozen=True):
    subscribed: bool
    stream: str
    group: str


@endpoint(
    bp,
    "POST",
    "api/streams/{name}/unsubscribe",
    Access.SESSION,
    errors="unknown_stream rate_limited",
)
async def stream_unsubscribe(req: func.HttpRequest) -> UnsubscribeResponse:
    """Unsubscribe the caller from a stream, on all connections."""
    user_id, stream = await _authorize(req)
    await subscriptions().remove(user_id, stream)
    return UnsubscribeResponse(subscribed=False, stream=stream.name, group=stream.group)


async def _authorize(req: func.HttpRequest) -> tuple[str, StreamInfo]:
    """The caller's id and the stream. Raises ApiError above the limit of subscriptions."""
    caller = await authenticate(req.headers)
    stream = await _find_stream(req)
    _subscription_limiter().acquire(caller.user_id)
    return caller.user_id, stream


class RunRequest(Struct, frozen=True):
    """Which run continues, and until when (seconds since 1970; 0 at its beginning)."""

    run_id: str
    until: float = 0.0


class RunResponse(Struct, frozen=True):
    outcome: str


@endpoint(
    bp,
    "POST",
    "api/streams/{name}/run",
    Access.PUBLIC,
    errors="unknown_stream forbidden",
    documented=False,
)
async def stream_run(req: func.HttpRequest, body: RunRequest) -> RunResponse:
    """Continue a run of a stream; the app calls this itself, with the run's secret id."""
    stream = registry.get(req.route_params["name"])
    if stream is None or is_off(stream.name):
        raise ApiError("unknown_stream", "No producer makes this stream, or it is off.")
    outcome = await subscriber_runs().continue_run(stream, body.run_id, body.until)
    return RunResponse(outcome.value)


class StreamHistoryQuery(Struct, frozen=True):
    """The time from `since` (an hour ago) to before `until` (now), in RFC 3339."""

    since: datetime | None = None
    until: datetime | None = None
    points: Annotated[int, Meta(ge=1, le=MAX_POINTS)] = 300


class StreamHistoryPage(Struct, frozen=True):
    """Recorded frames, oldest first: the first one in each span of `span_seconds`, or all if 0."""

    stream: str
    since: str
    until: str
    span_seconds: int
    points: list[HistoryPoint]


@endpoint(
    bp,
    "GET",
    "api/streams/{name}/history",
    Access.PUBLIC,
    errors="unknown_stream invalid_request",
)
async def stream_history_get(req: func.HttpRequest, query: StreamHistoryQuery) -> StreamHistoryPage:
    """Get the recorded frames of a stream, thinned to at most `points`."""
    stream = await _find_stream(req)
    until = query.until or datetime.now(UTC)
    _check_time(until)
    since = query.since or until - timedelta(hours=1)
    _check_time(since)
    if since >= until:
        raise ApiError("invalid_request", "Expected since < until.")
    found = await stream_history().read(stream.name, since, until, query.points)
    return StreamHistoryPage(
        stream.name,
        format_timestamp(since),
        format_timestamp(until),
        found.span_seconds,
        found.points,
    )


def _check_time(moment: datetime) -> None:
    """Raises ApiError `invalid_request`. Outside of the range, calculations can overflow."""
    if moment.tzinfo is None or not EARLIEST <= moment <= LATEST:
        raise ApiError("invalid_request", "Expected a time with a time zone, from 1970 to 9998.")


async def _find_stream(req: func.HttpRequest) -> StreamInfo:
    return await find_stream(req.route_params["name"])


@cache
def _subscription_limiter() -> RateLimiter:
    return RateLimiter("subscriptions", SUBSCRIPTIONS_PER_MINUTE, burst=SUBSCRIPTIONS_AT_ONCE)
