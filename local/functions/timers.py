"""Timer functions on their schedules, by the rules of the real host.

A function never overlaps itself. Its next run is computed from the start of the last one, so a slow
run is followed by one late run, however many occurrences passed meanwhile. Only schedules with a
minute or more between runs are monitored: they are stored across restarts and can be past due.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from azure.functions.meta import Datum
from msgspec import Struct

from realtime.ncrontab import Schedule

log = logging.getLogger(__name__)

# A machine that was suspended notices within this time that a run is due.
MAX_SLEEP_SECONDS = 60.0
NEVER_RAN = datetime.min.replace(tzinfo=UTC)


_STATUS_KEYS = ("Last", "Next", "LastUpdated")


def utc_now() -> datetime:
    return datetime.now(UTC)


class Status(Struct, frozen=True):
    """When a timer last ran and is next due, as the real host stores it in a blob."""

    last: datetime
    next: datetime
    updated: datetime

    def to_json(self) -> dict[str, str]:
        times = (self.last, self.next, self.updated)
        return {key: time.isoformat() for key, time in zip(_STATUS_KEYS, times, strict=True)}


class Timer(Struct):
    """One timer function: when it runs, and how it is called."""

    name: str
    schedule: Schedule
    tick: Callable[[Datum], Awaitable[None]]
    monitored: bool
    run_on_startup: bool
    status_file: Path | None  # None: the status is not stored
    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self, resumed_from: datetime | None = None) -> None:
        """Runs the function on its schedule until it is cancelled.

        After a crash of the worker, `resumed_from` is its time: nothing since then is left out.
        """
        started = self.now()
        status = self._read_status()
        if status is None:
            since = resumed_from or started
            status = Status(NEVER_RAN, self.schedule.next_after(since), started)
            self._write_status(status)
        past_due = self.monitored and resumed_from is None and started > status.next
        if past_due or (self.run_on_startup and resumed_from is None):
            status = await self._tick(status, started=started, past_due=past_due)
        while True:
            await self._sleep_until(status.next)
            # A sleep may end a little early; counting from the due time avoids a second run.
            status = await self._tick(status, started=max(self.now(), status.next))

    async def run_once(self, status: Status | None = None, *, past_due: bool = False) -> None:
        """Run once now. Errors of the app are logged and do not stop the schedule."""
        try:
            await self.tick(timer_request(status if self.monitored else None, past_due=past_due))
        except Exception:
            log.exception("the function %s failed", self.name, extra={"function_name": self.name})

    async def _tick(self, status: Status, *, started: datetime, past_due: bool = False) -> Status:
        await self.run_once(status, past_due=past_due)
        status = Status(started, self.schedule.next_after(started), started)
        self._write_status(status)
        return status

    async def _sleep_until(self, due: datetime) -> None:
        while (seconds := (due - self.now()).total_seconds()) > 0:
            await self.sleep(min(seconds, MAX_SLEEP_SECONDS))

    def _read_status(self) -> Status | None:
        if not self.monitored or self.status_file is None or not self.status_file.exists():
            return None
        try:
            stored = json.loads(self.status_file.read_text())
            times = [datetime.fromisoformat(stored[key]) for key in _STATUS_KEYS]
            status = Status(*times)
            # If the schedule was changed meanwhile, no run was missed.
            return status if self.schedule.next_after(status.updated) == status.next else None
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning(
                "the status of the timer %s cannot be read from %s and is replaced: %s",
                self.name, self.status_file, error, extra={"function_name": self.name},
            )  # fmt: skip
            return None

    def _write_status(self, status: Status) -> None:
        if not self.monitored or self.status_file is None:
            return
        written = self.status_file.with_suffix(".new")
        try:
            written.write_text(json.dumps(status.to_json()))
            written.replace(self.status_file)  # the file is complete even if the process ends now
        except OSError as error:
            log.warning(
                "the status of the timer %s cannot be written to %s: %s",
                self.name, self.status_file, error.strerror, extra={"function_name": self.name},
            )  # fmt: skip


def timer_request(status: Status | None, *, past_due: bool) -> Datum:
    """The argument of a timer function, in the form that the host sends to the worker."""
    request = {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": status and status.to_json(),
        "IsPastDue": past_due,
    }
    return Datum(json.dumps(request), "json")
