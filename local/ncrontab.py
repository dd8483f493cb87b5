"""When a timer fires: schedules in NCRONTAB, the cron with seconds of Azure Functions.

    {second} {minute} {hour} {day} {month} {day of week}     "*/5 * * * * *": every five seconds

Five fields are read as a cron without seconds. What differs from Unix: a day must match day *and*
day of week, a/b means "from a to the end by b", names may be cut short ("Mon", "jan"), Sunday is
only 0, and there is no L, W, # or ?. Times are UTC, as they are in Azure on Linux.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")

# 29 February on a given weekday comes back after 28 years, or 40 across a century without a leap
# day: a schedule that is silent for that long will never fire.
HORIZON = timedelta(days=366 * 41)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A parsed NCRONTAB expression: the values that each field allows, in order."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    def after(self, moment: datetime) -> datetime:
        """The first occurrence later than `moment`; ValueError when the calendar has none."""
        start = moment.replace(microsecond=0) + timedelta(seconds=1)
        for day in _days_from(start.date()):
            if self._allows(day):
                earliest = start.time() if day == start.date() else time.min
                if (found := self._time_from(earliest)) is not None:
                    return datetime.combine(day, found, UTC)
        raise ValueError(f"the schedule never fires: {self}")

    def is_monitored(self, now: datetime) -> bool:
        """Whether Azure remembers missed runs: only when they are a minute or more apart."""
        times = [self.after(now)]
        for _ in range(4):
            times.append(self.after(times[-1]))
        return all(later - earlier >= timedelta(minutes=1) for earlier, later in pairwise(times))

    def _allows(self, day: date) -> bool:
        return (
            day.month in self.months
            and day.day in self.days
            and day.isoweekday() % 7 in self.weekdays
        )

    def _time_from(self, earliest: time) -> time | None:
        for hour in self.hours:
            for minute in self.minutes if hour >= earliest.hour else ():
                if (hour, minute) >= (earliest.hour, earliest.minute):
                    for second in self.seconds:
                        if (found := time(hour, minute, second)) >= earliest:
                            return found
        return None


def parse(expression: str) -> Schedule:
    """The schedule that an expression describes; ValueError says which field is wrong and why."""
    fields = expression.split()
    if len(fields) == 5:
        fields.insert(0, "0")
    if len(fields) != 6:
        raise ValueError(f"a schedule has six fields, or five without seconds: {expression!r}")
    return Schedule(
        seconds=_field(fields[0], 0, 59),
        minutes=_field(fields[1], 0, 59),
        hours=_field(fields[2], 0, 23),
        days=_field(fields[3], 1, 31),
        months=_field(fields[4], 1, 12, MONTHS),
        weekdays=_field(fields[5], 0, 6, WEEKDAYS),
    )


def _field(text: str, low: int, high: int, names: tuple[str, ...] = ()) -> tuple[int, ...]:
    values: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, last = _span(span, low, high, names, open_ended=step not in ("", "1"))
        if not low <= first <= last <= high:
            raise ValueError(f"{part!r} is outside {low} to {high}")
        values.update(range(first, last + 1, _step(step, part)))
    return tuple(sorted(values))


def _span(
    text: str, low: int, high: int, names: tuple[str, ...], *, open_ended: bool
) -> tuple[int, int]:
    if text == "*":
        return low, high
    start, dash, end = text.partition("-")
    first = _value(start, low, names)
    if dash:
        last = _value(end, low, names)
        return min(first, last), max(first, last)
    return first, high if open_ended else first


def _value(text: str, low: int, names: tuple[str, ...]) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    for position, name in enumerate(names):
        if text and name.startswith(text.lower()):
            return low + position
    raise ValueError(
        f"{text!r} is not a number" + (f" or one of {', '.join(names)}" if names else "")
    )


def _step(text: str, part: str) -> int:
    if not text:
        return 1
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise ValueError(f"the step in {part!r} is not a positive number")


def _days_from(first: date) -> Iterator[date]:
    for distance in range(HORIZON.days):
        yield first + timedelta(days=distance)
