"""The time of stream ticks: this machine's clock, corrected if it is wrong."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

EARLY_TIMER_SECONDS = 0.05
"""How much too early a timer may fire, as .NET's do, and still mean the moment that is due."""

MAX_SKEW_SECONDS = 2.0
"""A smaller difference to the clock of Table Storage is not corrected: `Date` has whole seconds."""

logger = logging.getLogger(__name__)


def read_machine_clock() -> datetime:
    return datetime.now(UTC)


class StreamClock:
    """All instances tick by the clock of Table Storage, so a wrong clock changes no tick number."""

    def __init__(self, machine_clock: Callable[[], datetime] = read_machine_clock) -> None:
        self._machine_clock = machine_clock
        self._correction = timedelta()

    def now(self) -> datetime:
        return self._machine_clock() + self._correction

    def end_of_minute(self) -> datetime:
        """When the platform's timer, which goes by the machine's clock, starts the next minute."""
        machine_time = self._machine_clock() + timedelta(seconds=EARLY_TIMER_SECONDS)
        minute = machine_time.replace(second=0, microsecond=0)
        return minute + timedelta(minutes=1) + self._correction

    def observe_date(self, date_header: str | None) -> None:
        """Compare the clock with the `Date` header of a response that has just arrived."""
        try:
            storage_time = parsedate_to_datetime(date_header or "") + timedelta(seconds=0.5)
        except ValueError:
            return
        skew = storage_time - self._machine_clock()
        wrong = abs(skew).total_seconds() > MAX_SKEW_SECONDS
        if wrong and not self._correction:
            logger.warning("The clock of this instance is wrong by %.0f s.", -skew.total_seconds())
        self._correction = skew if wrong else timedelta()

    async def sleep_until(self, moment: datetime) -> None:
        await asyncio.sleep(max(0.0, (moment - self.now()).total_seconds()))
