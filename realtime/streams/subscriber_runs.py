"""Runs that a subscriber starts, so that a stream without a run does not wait for the timer.

Azure may freeze an instance between invocations, so ticks are made inside of one. A request that
a user waits for cannot last for the rest of the minute. It leases the stream and calls the app's
own function `stream_run`, which ticks for at most CALL_SECONDS and then calls itself again, until
the timer takes over.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

from realtime.azure.web_pubsub import Hub, hub
from realtime.errors import ApiError
from realtime.streams.clock import StreamClock
from realtime.streams.definition import Stream, active_streams
from realtime.streams.executor import RunOutcome, StreamExecutor, stream_executor
from realtime.streams.runner import describe_error
from realtime.streams.runs import is_leased, new_subscriber_run, parse_run_id
from realtime.streams.self_call import SelfCaller, self_caller
from realtime.streams.store import StreamStore, stream_clock, stream_store

CALL_SECONDS = 20.0
"""The longest time that one invocation ticks."""

CONNECT_SECONDS = 6.0
"""How long a run waits until the client that has started it is in the group."""

CONNECT_CHECK_SECONDS = 0.1

OVERLAP_SECONDS = 3.0
"""The timer has certainly seen a subscriber if the minute begins this much later."""

MAX_RUN_SECONDS = 70.0

logger = logging.getLogger(__name__)


class SubscriberRuns:
    """Starts and continues runs on HTTP instances."""

    def __init__(
        self,
        store: StreamStore,
        hub: Hub,
        executor: StreamExecutor,
        caller: SelfCaller,
        clock: StreamClock,
    ) -> None:
        self._store = store
        self._hub = hub
        self._executor = executor
        self._caller = caller
        self._clock = clock

    async def start_groups(self, groups: Sequence[str]) -> None:
        """Start the streams of these groups that have no run."""
        await asyncio.gather(
            *(self.start(stream) for stream in active_streams() if stream.group in groups)
        )

    async def start(self, stream: Stream) -> None:
        """Start a run if the stream has none. Never raises: the timer starts it at the latest."""
        try:
            now = self._clock.now()
            if stream.current_due(now) > now + timedelta(seconds=MAX_RUN_SECONDS):
                return  # The timer will run it.
            if await self._executor.is_running(stream):
                return
            run = new_subscriber_run()
            state = await self._executor.claim(stream, run)
            if state and not await self._caller.call(stream.name, run.id, 0.0):
                await self._executor.release(stream, state)
        except Exception as error:  # noqa: BLE001 - a subscription must not fail because of it
            logger.warning("The stream %s was not started: %s.", stream.name, describe_error(error))

    async def continue_run(self, stream: Stream, run_id: str, until: float) -> RunOutcome:
        """Tick until `until` (seconds since 1970), or as long as one invocation may.

        `until` is 0 in the first call of a run. Raises ApiError `forbidden` if the run does not
        own the stream: the id is a secret that only the app and its storage know.
        """
        state, now = await self._store.read(stream), self._clock.now()
        if state.run_id != run_id or not is_leased(run_id, state.lease_end, now):
            raise ApiError("forbidden", "The stream belongs to another run.")
        if not until:
            if not await self._wait_for_subscriber(stream):
                await self._executor.release(stream, state)
                return RunOutcome.NO_SUBSCRIBERS
            until = self._takeover_time()
        until = min(until, self._clock.now().timestamp() + MAX_RUN_SECONDS)
        end = min(until, now.timestamp() + CALL_SECONDS)
        run = parse_run_id(run_id)
        outcome = await self._executor.run(stream, run, datetime.fromtimestamp(end, UTC))
        if outcome is RunOutcome.FINISHED and end < until:
            await self._clock.sleep_until(datetime.fromtimestamp(end, UTC))
            await self._caller.call(stream.name, run_id, until)
        return outcome

    async def _wait_for_subscriber(self, stream: Stream) -> bool:
        deadline = self._clock.now() + timedelta(seconds=CONNECT_SECONDS)
        while not await self._hub.group_exists(stream.group):
            if self._clock.now() >= deadline:
                return False
            await asyncio.sleep(CONNECT_CHECK_SECONDS)
        return True

    def _takeover_time(self) -> float:
        """The first minute whose timer run sees the subscriber who is in the group now."""
        seen_by = self._clock.now().timestamp() + OVERLAP_SECONDS
        return seen_by - seen_by % 60 + 60


@cache
def subscriber_runs() -> SubscriberRuns:
    """The subscriber runs of this process."""
    return SubscriberRuns(stream_store(), hub(), stream_executor(), self_caller(), stream_clock())
