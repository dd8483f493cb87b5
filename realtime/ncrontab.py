"""Schedules in NCRONTAB, the cron with seconds of Azure Functions.

    {second} {minute} {hour} {day} {month} {day of week}     "*/5 * * * * *": every five seconds

The rules are those of the library NCrontab, which Azure's timers use. Five fields are a cron
without seconds. It differs from Unix cron: a date must match the day *and* the day of week, `5/10`
means from 5 to the maximum in steps of 10, a step below 1 counts as 1, `9-5` means 5 to 9, names
may be shortened ("Mon", "jan"), Sunday is 0 and not 7, and there is no L, W, # or ?.
Times are UTC, as they are in Azure on Linux.
https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise

from msgspec import Struct

from realtime.settings import InvalidSettingsError

MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")

NEVER = datetime.max.replace(tzinfo=UTC)
"""The next occurrence of a schedule whose date does not exist, such as 31 February."""

# 29 February on a given weekday comes back after 28 years, or after 40 across a century without a
# leap day: a schedule without an occurrence in that time has none.
LONGEST_GAP_DAYS = 366 * 41
# Azure looks at this many occurrences to decide whether it monitors a schedule.
MONITORED_SAMPLE = 5
DAY_SECONDS = 24 * 3600


class InvalidScheduleError(InvalidSettingsError, ValueError):
    """An expression that is not NCRONTAB; the text says which part of it and why."""


class Schedule(Struct, frozen=True):
    """A parsed expression: the values that each field allows, in ascending order."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    def next_after(self, moment: datetime) -> datetime:
        """The first occurrence later than `moment`, or NEVER."""
        start = moment.replace(microsecond=0) + timedelta(seconds=1)
        for distance in range(LONGEST_GAP_DAYS):
            day = start.date() + timedelta(days=distance)
            if self._allows(day):
                earliest = time.min if distance else start.time()
                if (found := self._first_time_from(earliest)) is not None:
                    return datetime.combine(day, found, UTC)
        return NEVER

    def is_monitored(self, now: datetime) -> bool:
        """Whether Azure stores when the timer ran: only if runs are a minute or more apart."""
        times = [self.next_after(now)]
        while len(times) < MONITORED_SAMPLE and times[-1] != NEVER:
            times.append(self.next_after(times[-1]))
        return all(later - earlier >= timedelta(minutes=1) for earlier, later in pairwise(times))

    def _allows(self, day: date) -> bool:
        return (
            day.month in self.months
            and day.day in self.days
            and day.isoweekday() % 7 in self.weekdays
        )

    def _first_time_from(self, earliest: time) -> time | None:
        for hour in self.hours:
            for minute in self.minutes if hour >= earliest.hour else ():
                if (hour, minute) >= (earliest.hour, earliest.minute):
                    for second in self.seconds:
                        if (found := time(hour, minute, second)) >= earliest:
                            return found
        return None


@cache
def parse(expression: str) -> Schedule:
    """The schedule that an expression describes. Raises InvalidScheduleError."""
    fields = expression.split()
    if len(fields) == 5:
        fields.insert(0, "0")
    if len(fields) != 6:
        raise _invalid(expression, "a schedule has six fields, or five without seconds")
    try:
        return Schedule(
            seconds=_parse_field(fields[0], 0, 59),
            minutes=_parse_field(fields[1], 0, 59),
            hours=_parse_field(fields[2], 0, 23),
            days=_parse_field(fields[3], 1, 31),
            months=_parse_field(fields[4], 1, 12, MONTHS),
            weekdays=_parse_field(fields[5], 0, 6, WEEKDAYS),
        )
    except ValueError as error:
        raise _invalid(expression, str(error)) from None


@cache
def shortest_interval(expression: str) -> int:
    """The shortest time between two occurrences, in whole seconds. Raises InvalidScheduleError.

    Every day counts as allowed: the three date fields can only make the interval longer.
    """
    schedule = parse(expression)
    shortest = DAY_SECONDS
    first = last = 0  # of the units so far, in seconds
    fields = (schedule.seconds, schedule.minutes, schedule.hours)
    for unit, values in zip((1, 60, 3600), fields, strict=True):
        gaps = [(later - sooner) * unit - (last - first) for sooner, later in pairwise(values)]
        shortest = min([shortest, *gaps])
        first, last = first + values[0] * unit, last + values[-1] * unit
    return min(shortest, DAY_SECONDS - (last - first))


def _invalid(expression: str, problem: str) -> InvalidScheduleError:
    return InvalidScheduleError(
        f"The schedule {expression!r} is not NCRONTAB, such as '*/5 * * * * *': {problem}."
    )


def _parse_field(text: str, low: int, high: int, names: tuple[str, ...] = ()) -> tuple[int, ...]:
    values: set[int] = set()
    for part in text.split(","):
        values.update(_parse_part(part, low, high, names))
    return tuple(sorted(values))


def _parse_part(part: str, low: int, high: int, names: tuple[str, ...]) -> Iterator[int]:
    """The values of one element of a list: `*`, `5` or `1-5`, each with an optional `/step`."""
    span, slash, step = part.partition("/")
    start, dash, end = span.partition("-")
    if span == "*":
        first, last = low, high
    elif dash:
        first, last = sorted((_parse_value(start, low, names), _parse_value(end, low, names)))
    else:
        first = _parse_value(span, low, names)
        last = high if slash else first
    if not low <= first <= last <= high:
        raise ValueError(f"{part!r} is outside {low} to {high}")
    yield from range(first, last + 1, max(1, _parse_step(step, part)) if slash else 1)


def _parse_value(text: str, low: int, names: tuple[str, ...]) -> int:
    if re.fullmatch(r"[0-9]+", text):
        return int(text)
    for position, name in enumerate(names):
        if text and name.startswith(text.lower()):
            return low + position
    raise ValueError(
        f"{text!r} is not a number" + (f" or one of {', '.join(names)}" if names else "")
    )


def _parse_step(text: str, part: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f"the step of {part!r} is not a number")
    return int(text)
