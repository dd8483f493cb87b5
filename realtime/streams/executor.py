"""Runs the ticks of streams inside of an invocation: the timer's minute, or a subscriber's run.

docs/streams.md, "When a stream runs", explains who runs a stream and why.
"""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum
from functools import cache

from msgspec.structs import replace

from realtime.azure import telemetry
from realtime.azure.web_pubsub import Hub, hub
from realtime.streams.clock import StreamClock
from realtime.streams.definition import Stream
from realtime.streams.rows import StreamState
from realtime.streams.runner import StreamRunner, describe_error, stream_runner
from realtime.streams.runs import (
    LEASE_SECONDS,
    Run,
    is_leased,
    lease_end_of,
    may_take_over,
    new_timer_run,
)
from realtime.streams.store import StreamStore, stream_clock, stream_store

SUBSCRIBER_CHECK_SECONDS = 5.0
"""How often a run asks whether the stream still has subscribers."""

LINGER_SECONDS = 6.0
"""How long a run waits for a new subscriber when the last one has left. It is longer than a
client needs from its `connect` event until it is in the group."""

LINGER_CHECK_SECONDS = 1.0

RETRY_SECONDS = 1.0
"""The pause after a failed call to storage or service."""

FAST_INTERVAL_SECONDS = 2
"""A stream with a longer interval misses no tick if the next minute begins late."""

HANDOVER_SECONDS = 0.05
"""How long before the end a run looks whether the next minute can begin on time."""

MAX_CLAIM_ATTEMPTS = 3


class RunOutcome(Enum):
    """How a run ended: at its end, without subscribers, or because another run took over."""

    FINISHED = "finished"
    NO_SUBSCRIBERS = "no subscribers"
    TAKEN_OVER = "taken over"


class StreamExecutor:
    """Runs streams. Several instances may try; a stream has one run at a time."""

    def __init__(
        self, store: StreamStore, hub: Hub, runner: StreamRunner, clock: StreamClock
    ) -> None:
        self._store = store
        self._hub = hub
        self._runner = runner
        self._clock = clock
        self._last_ticks: dict[str, datetime] = {}
        self._ticks_in_progress: list[datetime] = []

    async def run_minute(self, streams: Iterable[Stream]) -> None:
        """Run the streams that have subscribers until the next minute begins."""
        run, end = new_timer_run(self._clock.now()), self._clock.end_of_minute()
        await asyncio.gather(*(self._run_safely(one, run, end) for one in streams))

    async def _run_safely(self, stream: Stream, run: Run, end: datetime) -> None:
        """Run a stream, again if storage or service have failed. Never raises."""
        outcome = None
        while outcome is None and self._clock.now() < end:
            try:
                outcome = await self.run(stream, run, end)
            except Exception as error:  # noqa: BLE001 - it must not stop the other streams
                self._runner.log_state(stream, describe_error(error))
                pause = timedelta(seconds=RETRY_SECONDS)
                await self._clock.sleep_until(self._clock.now() + pause)

    async def run(self, stream: Stream, run: Run, end: datetime) -> RunOutcome:
        """Run one stream until `end`, as long as it has subscribers."""
        now = self._clock.now()
        if stream.current_due(now) >= end:
            return RunOutcome.FINISHED
        has_subscribers = await self._has_subscribers(stream)
        if not has_subscribers and self._ran_lately(stream, now):
            has_subscribers = await self._wait_for_subscriber(stream)
        if not has_subscribers:
            return RunOutcome.NO_SUBSCRIBERS
        while state := await self.claim(stream, run):
            outcome = await self._tick_until(stream, state, end)
            if outcome is not RunOutcome.NO_SUBSCRIBERS:
                return outcome
            if not await self._wait_for_subscriber(stream):
                return outcome
        return RunOutcome.TAKEN_OVER

    async def claim(self, stream: Stream, run: Run) -> StreamState | None:
        """Lease the stream for a run. None if another run has it and keeps it."""
        for _ in range(MAX_CLAIM_ATTEMPTS):
            state, now = await self._store.read(stream), self._clock.now()
            if not may_take_over(run, state.run_id, state.lease_end, now):
                return None
            lease_end = now.timestamp() + LEASE_SECONDS
            claimed = replace(state, run_id=run.id, lease_end=lease_end)
            if written := await self._store.write(stream, state, claimed):
                return written
        return None

    async def release(self, stream: Stream, state: StreamState) -> None:
        """End the lease, so that the next subscriber starts a run at once."""
        await self._store.write(stream, state, replace(state, run_id="", lease_end=0.0))

    async def _tick_until(self, stream: Stream, state: StreamState, end: datetime) -> RunOutcome:
        """Make the ticks that are due before `end`."""
        checked_at = now = self._clock.now()
        due = stream.current_due(now)
        while due < end or await self._others_are_late(stream, end):
            await self._clock.sleep_until(due)
            now = max(self._clock.now(), due)
            if (now - checked_at).total_seconds() >= SUBSCRIBER_CHECK_SECONDS:
                if not await self._still_has_subscribers(stream):
                    await self.release(stream, state)
                    return RunOutcome.NO_SUBSCRIBERS
                checked_at = now
            next_due = stream.next_due(due, now)
            if not state.covers(stream.tick_at(now), stream.interval_seconds):
                written = await self._make_tick(stream, state, now, lease_end_of(next_due, now))
                if written is None:
                    return RunOutcome.TAKEN_OVER
                state = written
            due = stream.next_due(due, self._clock.now())
        return RunOutcome.FINISHED

    async def _make_tick(
        self, stream: Stream, state: StreamState, now: datetime, lease_end: float
    ) -> StreamState | None:
        """The new state, or None if another run has taken over. A failed tick is logged."""
        self._ticks_in_progress.append(now)
        try:
            written = await self._runner.make_tick(stream, state, now, lease_end)
        except Exception as error:  # noqa: BLE001 - an error must not stop the next tick
            self._runner.log_state(stream, describe_error(error))
            written = await self._read_own_state(stream, state)
        finally:
            self._ticks_in_progress.remove(now)
        self._last_ticks[stream.name] = now
        return written

    async def _read_own_state(self, stream: Stream, state: StreamState) -> StreamState | None:
        """The present state if it belongs to the same run. It is unknown after an error."""
        try:
            stored = await self._store.read(stream)
        except Exception:  # noqa: BLE001 - the storage may be down for some ticks
            return state
        return stored if stored.run_id in {state.run_id, ""} else None

    async def _others_are_late(self, stream: Stream, end: datetime) -> bool:
        """Whether a slow tick of another stream keeps the invocation from ending at `end`.

        The next minute's invocation begins only then, so this stream goes on in this one.
        """
        if stream.interval_seconds > FAST_INTERVAL_SECONDS:
            return False
        await self._clock.sleep_until(end - timedelta(seconds=HANDOVER_SECONDS))
        return any(started < end for started in self._ticks_in_progress)

    async def _has_subscribers(self, stream: Stream) -> bool:
        found = stream.always or await self._hub.group_exists(stream.group)
        if found:  # From then on the stream has to tick: an alert compares both.
            telemetry.increment("townsquare.stream.subscribed", stream=stream.name)
        return found

    async def _still_has_subscribers(self, stream: Stream) -> bool:
        try:
            return await self._has_subscribers(stream)
        except Exception as error:  # noqa: BLE001 - the service may be down for some ticks
            self._runner.log_state(stream, describe_error(error))
            return True

    def _ran_lately(self, stream: Stream, now: datetime) -> bool:
        last = self._last_ticks.get(stream.name)
        return last is not None and (now - last).total_seconds() < LINGER_SECONDS

    async def _wait_for_subscriber(self, stream: Stream) -> bool:
        """Whether the stream has a subscriber within LINGER_SECONDS."""
        now = self._clock.now()
        deadline = now + timedelta(seconds=LINGER_SECONDS)
        while now < deadline:
            await self._clock.sleep_until(now + timedelta(seconds=LINGER_CHECK_SECONDS))
            if await self._has_subscribers(stream):
                return True
            now = max(self._clock.now(), now + timedelta(seconds=LINGER_CHECK_SECONDS))
        return False

    async def is_running(self, stream: Stream) -> bool:
        """Whether a run has the stream, as known for at most a second."""
        state = await self._store.read_cached(stream, max_age_seconds=1.0)
        return is_leased(state.run_id, state.lease_end, self._clock.now())


@cache
def stream_executor() -> StreamExecutor:
    """The stream executor of this process."""
    return StreamExecutor(stream_store(), hub(), stream_runner(), stream_clock())
