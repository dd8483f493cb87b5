"""Departures: "left" is announced after a grace period, which holds no invocation.

`disconnected` adds its departures here and returns at once. One task of the process waits and
then announces them.

The platform may stop an instance between invocations. Then its departures are late or lost:

- An instance that was suspended announces when it runs again, with the next event of any room. The
  clock goes on meanwhile, so what is due is announced without another grace period.
- Departures of an instance that ended are announced by the timer `reconcile_presence`, on any
  instance: after at most 60 s and the grace period.

A queue message with a delay would be exact in these cases too. It would cost a queue, two more
storage operations for each departure, and its own function.
"""

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable
from functools import cache

from realtime.concurrency import gather_limited
from realtime.rooms.presence import GRACE_SECONDS, Presence, presence

MAX_WAITING_DEPARTURES = 10_000
"""Departures that wait in one process; further ones are left to the timer."""

Departure = tuple[str, str]
"""A room and a user id."""

log = logging.getLogger(__name__)


class Departures:
    """The departures of this process, each with the time at which it is due."""

    def __init__(
        self,
        presence: Presence,
        *,
        grace_seconds: float = GRACE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._presence = presence
        self._grace_seconds = grace_seconds
        self._clock = clock
        self._sleep = sleep
        self._waiting: deque[tuple[float, Departure]] = deque()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """The number of departures that wait."""
        return len(self._waiting)

    def add(self, rooms: Iterable[str], user_id: str) -> None:
        """Announce that a user has left these rooms, unless the user is back in time."""
        due = self._clock() + self._grace_seconds
        free = MAX_WAITING_DEPARTURES - len(self._waiting)
        self._waiting.extend([(due, (room, user_id)) for room in rooms][:free])
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._announce_all())

    async def _announce_all(self) -> None:
        """They are in the order in which they are due, since all wait for the same time."""
        while self._waiting:
            wait = self._waiting[0][0] - self._clock()
            if wait > 0:
                await self._sleep(wait)
                continue
            due: defaultdict[str, set[str]] = defaultdict(set)
            for room, user_id in self._take_due():
                due[room].add(user_id)
            await gather_limited(self._announce(room, users) for room, users in due.items())

    def _take_due(self) -> Iterable[Departure]:
        now = self._clock()
        while self._waiting and self._waiting[0][0] <= now:
            yield self._waiting.popleft()[1]

    async def _announce(self, room: str, user_ids: Iterable[str]) -> None:
        try:
            await self._presence.announce_left(room, *user_ids)
        except Exception as error:  # noqa: BLE001 - the timer announces it
            log.warning("a departure is left to the timer: %s", type(error).__name__)


@cache
def departures() -> Departures:
    """The departures of this process."""
    return Departures(presence())
