"""Timer functions on the clock, by the rules of the real host.

One function never overlaps itself. The next run is counted from the start of the last one, so a
slow run is followed by a single late one, however many ticks it swallowed. Only schedules of a
minute or more are remembered across restarts, and only those are ever "past due".
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from azure.functions.meta import Datum

from realtime.ncrontab import Schedule

log = logging.getLogger(__name__)

# Sleeping is cut into pieces: a desk that was asleep notices within this time that a tick is due.
LONGEST_SLEEP = 60.0
NEVER = datetime.min.replace(tzinfo=UTC)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Status:
    """When a timer last ran and is next due, as the real host keeps it in a blob."""

    last: datetime
    next: datetime
    updated: datetime

    def to_json(self) -> dict[str, str]:
        return {
            "Last": self.last.isoformat(),
            "Next": self.next.isoformat(),
            "LastUpdated": self.updated.isoformat(),
        }


@dataclass(slots=True)
class Timer:
    """One timer function: when it runs, and how it is told."""

    name: str
    schedule: Schedule
    tick: Callable[[Datum], Awaitable[None]]
    monitored: bool
    run_on_startup: bool
    kept_in: Path | None  # where the status survives a restart; None forgets it
    now: Callable[[], datetime] = utc_now

    async def run(self) -> None:
        """Ticks until it is cancelled."""
        started = self.now()
        status = self._remembered()
        if status is None:
            status = Status(NEVER, self.schedule.next_after(started), started)
            self._remember(status)
        past_due = started > status.next
        if past_due or self.run_on_startup:
            status = await self._tick(status, started=started, past_due=past_due)
        while True:
            await self._sleep_until(status.next)
            # A sleep may end a hair early; counting from the due time keeps it to one run a tick.
            status = await self._tick(status, started=max(self.now(), status.next))

    async def run_once(self, status: Status | None = None, *, past_due: bool = False) -> None:
        """One run now, beside the schedule; whatever the app raises, its next tick comes."""
        try:
            await self.tick(timer_request(status if self.monitored else None, past_due=past_due))
        except Exception:
            log.exception("the function %s failed", self.name)

    async def _tick(self, status: Status, *, started: datetime, past_due: bool = False) -> Status:
        await self.run_once(status, past_due=past_due)
        status = Status(started, self.schedule.next_after(started), started)
        self._remember(status)
        return status

    async def _sleep_until(self, due: datetime) -> None:
        while (seconds := (due - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - it is the clock
            await asyncio.sleep(min(seconds, LONGEST_SLEEP))

    def _remembered(self) -> Status | None:
        if not self.monitored or self.kept_in is None or not self.kept_in.exists():
            return None
        kept = json.loads(self.kept_in.read_text())
        status = Status(
            *(datetime.fromisoformat(kept[key]) for key in ("Last", "Next", "LastUpdated"))
        )
        # When the schedule itself was changed meanwhile, nothing was missed.
        return status if self.schedule.next_after(status.updated) == status.next else None

    def _remember(self, status: Status) -> None:
        if self.monitored and self.kept_in is not None:
            self.kept_in.write_text(json.dumps(status.to_json()))


def timer_request(status: Status | None, *, past_due: bool) -> Datum:
    """What a timer function is given, in the shape that the host sends to the worker."""
    request = {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": status and status.to_json(),
        "IsPastDue": past_due,
    }
    return Datum(json.dumps(request), "json")
