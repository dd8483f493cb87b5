"""When a timer fires: as much of NCRONTAB as is needed to know how often."""

import re
from functools import cache
from itertools import pairwise

from realtime.settings import InvalidSettings


@cache
def shortest_interval(schedule: str) -> int:
    """The shortest time between two occurrences of an NCRONTAB expression, in seconds.

    Six fields, second first; five are minute-level cron. The day fields can only make it longer.
    https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
    """
    fields = schedule.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        raise _invalid(schedule)
    first = last = 0
    shortest = day = 24 * 3600
    for unit, limit, text in zip((1, 60, 3600), (60, 60, 24), fields, strict=False):
        values = _values(text, limit, schedule)
        gaps = [(later - sooner) * unit - (last - first) for sooner, later in pairwise(values)]
        shortest = min([shortest, *gaps])
        first, last = first + values[0] * unit, last + values[-1] * unit
    return min(shortest, day - (last - first))


def _values(text: str, limit: int, schedule: str) -> list[int]:
    """What a field allows: `*`, `5`, `1-5`, `*/10`, `3/10` (from 3 on), and lists of these."""
    values: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\*|\d+)(?:-(\d+))?(?:/([1-9]\d*))?", part)
        if not match:
            raise _invalid(schedule)
        start, end, step = match.groups()
        first = 0 if start == "*" else int(start)
        last = int(end) if end else limit - 1 if start == "*" or step else first
        values.update(range(first, last + 1, int(step or 1)))
    if not values or max(values) >= limit:
        raise _invalid(schedule)
    return sorted(values)


def _invalid(schedule: str) -> InvalidSettings:
    return InvalidSettings(f"The schedule {schedule!r} is not NCRONTAB, such as '*/5 * * * * *'.")
