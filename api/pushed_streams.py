"""Pushed streams: a server defines a stream, pushes its frames, and deletes it."""

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import azure.functions as func
from msgspec import UNSET, Meta, Struct, UnsetType

from api.blueprint import bp
from api.streams import read_stream_status
from realtime.errors import ApiError
from realtime.http import Access, endpoint
from realtime.streams.definition import is_off, registry
from realtime.streams.pushed import (
    MAX_BATCH_FRAMES,
    NewFrame,
    PushedStream,
    find_stream,
    pushed_streams,
)
from realtime.streams.status import StreamStatus
from realtime.users.audit import record_act

MAX_AHEAD = timedelta(minutes=1)

Text = Annotated[str, Meta(max_length=200)]


class StreamDefinition(Struct, frozen=True):
    """A pushed stream. Without a `group` it has the stream's name.

    A frame is fresh for `fresh_seconds`. The history has all changes of the last `history_hours`
    and one frame in 5 minutes for `history_days`; with `always` it grows without subscribers, too.
    """

    title: Text
    description: Text = ""
    group: str = ""
    type: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,63}$")] = "stream_update"
    fresh_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 60.0
    history_hours: Annotated[int, Meta(ge=0, le=720)] = 24
    history_days: Annotated[int, Meta(ge=0, le=366)] = 30
    always: bool = False


@endpoint(
    bp,
    "PUT",
    "api/streams/{name}",
    Access.SERVER,
    errors="invalid_stream stream_has_producer group_in_use too_many_streams",
)
async def stream_put(req: func.HttpRequest, body: StreamDefinition) -> StreamStatus:
    """Define a stream without a producer, or change its definition."""
    name = req.route_params["name"]
    try:
        stream = PushedStream(
            name=name,
            title=body.title,
            group=body.group or name,
            description=body.description,
            type=body.type,
            fresh_seconds=body.fresh_seconds,
            history_hours=body.history_hours,
            history_days=body.history_days,
            always=body.always,
        )
    except ValueError as error:
        raise ApiError("invalid_stream", f"{error}.") from None
    await pushed_streams().put(stream)
    return await read_stream_status(stream)


class StreamDeleteResponse(Struct, frozen=True):
    stream: str
    deleted: bool


@endpoint(
    bp,
    "DELETE",
    "api/streams/{name}",
    Access.SERVER,
    errors="unknown_stream stream_has_producer busy",
)
async def stream_delete(req: func.HttpRequest) -> StreamDeleteResponse:
    """Delete a stream without a producer, with its frames and its history."""
    name = req.route_params["name"]
    await pushed_streams().find(name)
    await record_act(req.headers, "delete stream", name)
    await pushed_streams().delete(name)
    return StreamDeleteResponse(name, deleted=True)


class PushedFrame(Struct, frozen=True):
    """The data of a frame; without a `timestamp` (RFC 3339) its time is now."""

    data: dict[str, Any]
    timestamp: datetime | None = None


class PushRequest(Struct, frozen=True):
    """One frame (`data`), or up to 100 (`frames`) in the order of their time."""

    data: dict[str, Any] | UnsetType = UNSET
    timestamp: datetime | None = None
    frames: list[PushedFrame] | UnsetType = UNSET


class PushResponse(Struct, frozen=True):
    """How many frames were stored and published, and the tick of the last one."""

    stream: str
    frames: int
    tick: int


@endpoint(
    bp,
    "POST",
    "api/streams/{name}",
    Access.SERVER,
    errors="unknown_stream stream_has_producer stream_off invalid_request too_large busy",
)
async def stream_push(req: func.HttpRequest, body: PushRequest) -> PushResponse:
    """Push one frame or up to 100 frames to a stream that has no producer."""
    name = req.route_params["name"]
    if name in registry:
        raise ApiError("stream_has_producer", "A producer of the app makes this stream.")
    stream = await find_stream(name)
    if is_off(name) or not isinstance(stream, PushedStream):
        raise ApiError("stream_off", "The setting STREAMS_OFF names this stream.")
    now = datetime.now(UTC)
    frames = [_parse_frame(one, stream, now) for one in _list_frames(body)]
    tick = await pushed_streams().push(stream, frames, now)
    return PushResponse(name, len(frames), tick)


def _list_frames(body: PushRequest) -> list[PushedFrame]:
    if isinstance(body.frames, UnsetType):
        if isinstance(body.data, UnsetType):
            raise ApiError("invalid_request", "Expected data or frames.")
        return [PushedFrame(body.data, body.timestamp)]
    if not isinstance(body.data, UnsetType):
        raise ApiError("invalid_request", "Expected data or frames, not both.")
    count = len(body.frames)
    if not 1 <= count <= MAX_BATCH_FRAMES:
        raise ApiError("invalid_request", f"Expected 1 to {MAX_BATCH_FRAMES} frames, not {count}.")
    return body.frames


def _parse_frame(frame: PushedFrame, stream: PushedStream, now: datetime) -> NewFrame:
    time = frame.timestamp or now
    oldest = now - timedelta(days=max(stream.history_days, math.ceil(stream.history_hours / 24)))
    if time.tzinfo is None or not oldest <= time <= now + MAX_AHEAD:
        raise ApiError(
            "invalid_request",
            "Expected a timestamp with a time zone, within the stream's retention, and at most a "
            "minute ahead.",
        )
    return NewFrame(frame.data, time)
