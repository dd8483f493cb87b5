"""Makes one tick of a stream: calls the producer, stores the frame, publishes it."""

import asyncio
import logging
import time
from datetime import datetime
from functools import cache
from pathlib import Path

import msgspec
from msgspec.structs import replace

from realtime.azure import telemetry
from realtime.azure.web_pubsub import Hub, hub
from realtime.messages import Frame, format_timestamp
from realtime.streams.definition import Data, Stale, Stream
from realtime.streams.deltas import make_delta
from realtime.streams.history import is_recorded, make_history_row, milliseconds_of
from realtime.streams.rows import StreamState, check_frame_size
from realtime.streams.store import StreamStore, stream_store

MIN_TICK_TIMEOUT_SECONDS = 3.0
"""The shortest time limit of a tick: with less, no provider could be reached."""

MAX_TICK_TIMEOUT_SECONDS = 20.0

logger = logging.getLogger(__name__)


class StreamRunner:
    """Makes the ticks of all streams. A tick that is stored by this run is published by it."""

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
        self._unpublished: set[str] = set()
        self._failing: set[str] = set()

    async def make_tick(
        self, stream: Stream, state: StreamState, now: datetime, lease_end: float
    ) -> StreamState | None:
        """Make the tick of this moment and extend the lease of the run that owns `state`.

        Returns the new state, or None if another run has changed it. Raises what storage or
        service raise; a failing producer makes a stale frame.
        """
        async with asyncio.timeout(1.5 * self._tick_timeout_seconds(stream)):
            result = await self._call_producer(stream, state.frame, now)
            tick = stream.tick_at(now)
            frame = _make_frame(stream, result, tick, now)
            problem = result.reason if isinstance(result, Stale) else ""
            made = replace(state, tick=tick, lease_end=lease_end, problem=problem)
            rows = []
            if frame is not None:
                check_frame_size(frame)
                made = replace(made, frame=frame)
                if is_recorded(state.frame, frame):
                    rows.append(make_history_row(frame, state.recorded_ms))
                    made = replace(made, recorded_ms=milliseconds_of(frame))
            written = await self._store.write(stream, state, made, rows)
            if written and frame:
                await self._publish(stream, state.frame, frame)
        self.log_state(stream, _describe_failure(result))
        return written

    def _tick_timeout_seconds(self, stream: Stream) -> float:
        """Less than the interval if possible."""
        timeout = max(self._min_tick_timeout_seconds, 0.6 * stream.interval_seconds)
        return min(timeout, MAX_TICK_TIMEOUT_SECONDS)

    async def _call_producer(
        self, stream: Stream, previous: Frame | None, now: datetime
    ) -> Data | Stale | None:
        """The producer's result; if it fails or is late, the last values."""
        try:
            async with asyncio.timeout(self._tick_timeout_seconds(stream)):
                # A copy: a producer may change it, and it is compared with the result.
                return _normalize(await stream.tick(_copy_frame(previous), now))
        except Exception as error:  # noqa: BLE001 - a producer may raise anything
            data = previous.data if previous else None
            return Stale(data, "its producer failed", describe_error(error))

    async def _publish(self, stream: Stream, previous: Frame | None, frame: Frame) -> None:
        full = stream.name in self._unpublished or frame.tick % stream.full_every == 0
        event = frame if full else make_delta(stream, previous, frame)
        if event is None:
            return
        self._unpublished.add(stream.name)  # After a failed publish the next frame is full.
        await self._hub.send_to_group(stream.group, event)
        self._unpublished.discard(stream.name)
        due = frame.tick * stream.interval_seconds
        telemetry.record("townsquare.stream.age", time.time() - due, stream=stream.name)
        telemetry.increment("townsquare.stream.stale", int(frame.stale), stream=stream.name)

    def log_state(self, stream: Stream, problem: str | None) -> None:
        """One line when a stream starts to fail, and one when it works again."""
        if problem and stream.name not in self._failing:
            self._failing.add(stream.name)
            logger.warning("The stream %s fails: %s.", stream.name, problem)
        if not problem and stream.name in self._failing:
            self._failing.discard(stream.name)
            logger.warning("The stream %s works again.", stream.name)


def _describe_failure(result: Data | Stale | None) -> str | None:
    """What the log has about a result."""
    return (result.detail or result.reason) if isinstance(result, Stale) else None


def _normalize(result: Data | Stale | None) -> Data | Stale | None:
    """The result as JSON has it, so that what is stored and what is published are equal."""
    if isinstance(result, Stale):
        return replace(result, data=_to_json_values(result.data))
    return _to_json_values(result)


def _copy_frame(frame: Frame | None) -> Frame | None:
    return frame and msgspec.json.decode(msgspec.json.encode(frame), type=Frame)


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
