"""Streams without a producer: servers define them and push their frames."""

import asyncio
import math
import random
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from realtime.azure.web_pubsub import Hub, hub
from realtime.concurrency import has_failed
from realtime.errors import ApiError
from realtime.messages import Frame, format_timestamp
from realtime.streams.definition import StreamInfo, age_seconds, registry
from realtime.streams.history import is_recorded, make_history_row, milliseconds_of
from realtime.streams.rows import FrameTooLargeError, check_frame_size
from realtime.streams.store import StreamStore, stream_store

MAX_PUSHED_STREAMS = 200

MAX_BATCH_FRAMES = 100

WRITE_FRAMES = 50
"""Frames of one write: each may have a history row, and a transaction has 100 operations."""

MAX_WRITE_ATTEMPTS = 8

RETRY_SECONDS = 0.05

DELETE_TIMEOUT_SECONDS = 60.0
"""An HTTP response of Azure Functions takes at most 230 s."""

DEFINITIONS_CACHE_SECONDS = 3.0
"""How old the known definitions may be: a new stream is known everywhere within 5 s."""

Data = dict[str, Any]


class PushedStream(StreamInfo, frozen=True):
    """A frame is fresh for `fresh_seconds`. `always` records frames without subscribers, too."""

    type: str
    fresh_seconds: float

    @property
    def interval_seconds(self) -> int:
        return max(1, math.ceil(self.fresh_seconds))

    def is_on_time(self, frame: Frame, now: datetime) -> bool:
        return age_seconds(frame, now) <= self.fresh_seconds


class NewFrame(Struct, frozen=True):
    data: Data
    time: datetime


class PushedStreams:
    """The pushed streams of all instances."""

    def __init__(
        self, store: StreamStore, hub: Hub, *, max_streams: int = MAX_PUSHED_STREAMS
    ) -> None:
        self._store = store
        self._max_streams = max_streams
        self._hub = hub
        self._read_at = 0.0
        self._definitions: asyncio.Future[dict[str, PushedStream]] | None = None

    async def list_streams(self) -> Mapping[str, PushedStream]:
        """The streams by name, as known for at most DEFINITIONS_CACHE_SECONDS."""
        loop = asyncio.get_running_loop()
        known = self._definitions
        old = loop.time() - self._read_at >= DEFINITIONS_CACHE_SECONDS
        if known is None or has_failed(known) or old:
            self._definitions = known = asyncio.ensure_future(self._read())
            self._read_at = loop.time()
        return await asyncio.shield(known)

    async def _read(self) -> dict[str, PushedStream]:
        rows = await self._store.read_definitions()
        return {name: PushedStream(**definition) for name, definition in rows.items()}

    async def find(self, name: str) -> PushedStream:
        """A stream as the table has it now. Raises ApiError."""
        if name in registry:
            raise ApiError("stream_has_producer", "A producer of the app makes this stream.")
        present = (await self._read()).get(name)
        if present is None:
            raise ApiError("unknown_stream", "No stream with this name is defined.")
        return present

    async def put(self, stream: PushedStream) -> None:
        """Define a stream, or change it; its group stays. Raises ApiError."""
        if stream.name in registry:
            raise ApiError("stream_has_producer", "A producer of the app makes this stream.")
        known = await self._read()
        present = known.get(stream.name)
        if present is None and len(known) >= self._max_streams:
            raise ApiError("too_many_streams", f"There are {self._max_streams} streams already.")
        if present and present.group != stream.group:
            raise ApiError("group_in_use", "The group of a stream cannot be changed.")
        if present is None:
            await self._store.delete_rows(stream.name)
        of_producer = stream.group in {one.group for one in registry.values()}
        if of_producer or not await self._store.write_definition(
            stream.name, stream.group, asdict(stream), is_new=present is None
        ):
            raise ApiError("group_in_use", "Another stream has this group.")
        self._definitions = None

    async def delete(self, name: str) -> None:
        """Delete a stream with its history; the definition last, so that a call can be repeated.

        Frames that servers push meanwhile are deleted when a stream with this name is defined.
        Raises ApiError.
        """
        present = await self.find(name)
        try:
            async with asyncio.timeout(DELETE_TIMEOUT_SECONDS):
                await self._store.delete_rows(name)
        except TimeoutError:
            raise ApiError(
                "busy", "The history is long. Repeat the request to continue.", retry_after_ms=1000
            ) from None
        await self._store.delete_definition(name, present.group)
        self._definitions = None

    async def push(self, stream: PushedStream, frames: Sequence[NewFrame], now: datetime) -> int:
        """Store frames, then publish them in their order; returns the last tick.

        Raises ApiError `too_large` before anything is written, and `busy` if other servers push to
        the stream all the time.
        """
        for one in frames:
            _check_size(_make_frame(stream, one, 2**53))
        has_subscribers = await self._hub.group_exists(stream.group)
        recorded = has_subscribers or stream.always
        tick = 0
        for start in range(0, len(frames), WRITE_FRAMES):
            part = frames[start : start + WRITE_FRAMES]
            written = await self._write(stream, part, now, recorded=recorded)
            for frame in written if has_subscribers else ():
                await self._hub.send_to_group(stream.group, frame)
            tick = written[-1].tick
        return tick

    async def _write(
        self, stream: PushedStream, frames: Sequence[NewFrame], now: datetime, *, recorded: bool
    ) -> list[Frame]:
        """The frames with their ticks, which are milliseconds since 1970 and only grow."""
        for attempt in range(MAX_WRITE_ATTEMPTS):
            state = await self._store.read(stream)
            tick = max(round(now.timestamp() * 1000), state.tick + 1)
            made = [_make_frame(stream, one, tick + i) for i, one in enumerate(frames)]
            next_state, rows = state, []
            for frame in made:
                if recorded and is_recorded(next_state.frame, frame):
                    rows.append(make_history_row(frame, next_state.recorded_ms))
                    next_state = replace(next_state, recorded_ms=milliseconds_of(frame))
                next_state = replace(next_state, frame=frame, tick=frame.tick)
            if await self._store.write(stream, state, next_state, rows):
                return made
            await asyncio.sleep(random.random() * RETRY_SECONDS * (attempt + 1))
        raise ApiError("busy", "Too many servers push to this stream.", retry_after_ms=1000)


def _make_frame(stream: PushedStream, one: NewFrame, tick: int) -> Frame:
    timestamp = format_timestamp(one.time)
    return Frame(stream.type, stream.name, tick, timestamp, stale=False, full=True, data=one.data)


def _check_size(frame: Frame) -> None:
    try:
        check_frame_size(frame)
    except FrameTooLargeError:
        raise ApiError(
            "too_large", "A frame has at most 32,768 UTF-16 units, its envelope included."
        ) from None


@cache
def pushed_streams() -> PushedStreams:
    """The pushed streams as this process knows them."""
    return PushedStreams(stream_store(), hub())


async def list_streams() -> dict[str, StreamInfo]:
    """All streams by name: those of the producers, then the pushed ones."""
    return {**registry, **await pushed_streams().list_streams()}


async def find_stream(name: str) -> StreamInfo:
    """A stream of either kind. Raises ApiError `unknown_stream`."""
    if name in registry:
        return registry[name]
    found = (await pushed_streams().list_streams()).get(name)
    if found is None:
        raise ApiError("unknown_stream", f"Expected one of {', '.join(await list_streams())}.")
    return found
