"""Runs one tick of a stream: ask the producer, store the frame, publish it."""

import asyncio
import copy
import logging
import time
import uuid
from datetime import datetime
from functools import cache
from pathlib import Path

import msgspec

from realtime.azure import telemetry
from realtime.azure.web_pubsub import Hub, hub
from realtime.messages import Frame, format_timestamp
from realtime.streams.definition import Data, Stale, Stream
from realtime.streams.deltas import make_delta
from realtime.streams.store import StoredFrame, StreamStore, stream_store

MIN_TICK_TIMEOUT_SECONDS = 3.0
"""The shortest time limit of a tick: with less, no provider could be reached."""

MAX_TICK_TIMEOUT_SECONDS = 20.0

logger = logging.getLogger(__name__)


class StreamRunner:
    """Runs the ticks of all streams. Any instance may run any tick; each is published once."""

    def __init__(
        self,
        store: StreamStore,
        hub: Hub,
        *,
        min_tick_timeout_seconds: float = MIN_TICK_TIMEOUT_SECONDS,
    ) -> None:
        self._store = store
        self._hub = hub
        self._min_tick_timeout_seconds = min_tick_timeout_seconds
        self._stored: dict[str, StoredFrame] = {}
        self._unpublished: set[str] = set()
        self._failing: set[str] = set()

    async def run_tick(self, stream: Stream, now: datetime) -> Frame | None:
        """Run the tick of this moment; returns the published frame. Never raises.

        Nothing happens if the stream has no subscribers or another instance has done the tick.
        """
        try:
            async with asyncio.timeout(1.5 * self._tick_timeout(stream)):
                return await self._run(stream, now)
        except Exception as error:  # noqa: BLE001 - a failing stream must not stop the others
            self._log_change(stream, describe_error(error))
            return None

    def _tick_timeout(self, stream: Stream) -> float:
        """Less than the interval if possible, in seconds."""
        timeout = max(self._min_tick_timeout_seconds, 0.6 * stream.interval_seconds)
        return min(timeout, MAX_TICK_TIMEOUT_SECONDS)

    async def _run(self, stream: Stream, now: datetime) -> Frame | None:
        if not await self._hub.group_exists(stream.group):
            return None
        tick, run_id = stream.tick_at(now), uuid.uuid4().hex
        stored = self._stored.get(stream.name) or await self._store.read(stream)
        for _ in range(2):  # again with the newer row if another instance wrote in between
            if stored.covers(tick, stream.interval_seconds):
                return None
            result = await self._call_producer(stream, stored.frame, now)
            frame = _make_frame(stream, result, tick, now)
            previous = stored.frame
            if frame is not None:
                stored = await self._store.write(stream, frame, stored, run_id)
                self._stored[stream.name] = stored
            if frame is None or stored.run_id == run_id:
                published = frame and await self._publish(stream, previous, frame)
                self._log_change(stream, result.reason if isinstance(result, Stale) else None)
                return published
        return None

    async def _call_producer(
        self, stream: Stream, previous: Frame | None, now: datetime
    ) -> Data | Stale | None:
        """The producer's result; if it fails or is late, the last values."""
        try:
            async with asyncio.timeout(self._tick_timeout(stream)):
                # A copy: a producer may change it, and it is compared with the result.
                return _normalize(await stream.tick(copy.deepcopy(previous), now))
        except Exception as error:  # noqa: BLE001 - a producer may raise anything
            return Stale(previous.data if previous else None, describe_error(error))

    async def _publish(self, stream: Stream, previous: Frame | None, frame: Frame) -> Frame | None:
        full = stream.name in self._unpublished or frame.tick % stream.full_every == 0
        event = frame if full else make_delta(stream, previous, frame)
        if event is None:
            return None
        self._unpublished.add(stream.name)  # After a failed publish the next frame is full.
        await self._hub.send_to_group(stream.group, event)
        self._unpublished.discard(stream.name)
        due = frame.tick * stream.interval_seconds
        telemetry.record("townsquare.stream.age", time.time() - due, stream=stream.name)
        telemetry.increment("townsquare.stream.stale", int(frame.stale), stream=stream.name)
        return event

    def _log_change(self, stream: Stream, problem: str | None) -> None:
        """One line when a stream starts to fail, and one when it works again."""
        if problem and stream.name not in self._failing:
            self._failing.add(stream.name)
            logger.warning("The stream %s fails: %s.", stream.name, problem)
        if not problem and stream.name in self._failing:
            self._failing.discard(stream.name)
            logger.warning("The stream %s works again.", stream.name)


def _normalize(result: Data | Stale | None) -> Data | Stale | None:
    """The result as JSON has it, so that what is stored and what is published are equal."""
    if isinstance(result, Stale):
        return Stale(_to_json_values(result.data), result.reason)
    return _to_json_values(result)


def _to_json_values(data: Data | None) -> Data | None:
    return data and msgspec.json.decode(msgspec.json.encode(data), type=Data)


def _make_frame(
    stream: Stream, result: Data | Stale | None, tick: int, now: datetime
) -> Frame | None:
    stale = isinstance(result, Stale)
    data = result.data if isinstance(result, Stale) else result
    if data is None:
        return None
    timestamp = format_timestamp(now)
    return Frame(stream.type, stream.name, tick, timestamp, stale=stale, full=True, data=data)


def describe_error(error: Exception) -> str:
    """The type and place of an error, without its text: that may contain a URL with a key."""
    if isinstance(error, ModuleNotFoundError):
        return f"there is no module {error.name}"
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    file = Path(trace.tb_frame.f_code.co_filename).name
    return f"{type(error).__name__} in {file}, line {trace.tb_lineno}"


@cache
def stream_runner() -> StreamRunner:
    """The stream runner of this process."""
    return StreamRunner(stream_store(), hub())
