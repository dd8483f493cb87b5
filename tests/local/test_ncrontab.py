"""Schedules are read by the rules of NCrontab, the library of Azure's timers."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.ncrontab import NEVER, InvalidScheduleError, parse, shortest_interval


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "now", "next_time"),
    [
        ("* * * * * *", "2026-11-21T10:00:00.400", "2026-11-21T10:00:01"),
        ("*/5 * * * * *", "2026-11-21T10:00:55", "2026-11-21T10:01:00"),
        ("0 * * * * *", "2026-11-21T23:59:00", "2026-11-22T00:00:00"),
        ("* * * * *", "2026-11-21T10:00:01", "2026-11-21T10:01:00"),
        ("0 15 3 * * *", "2026-11-21T03:15:00", "2026-11-22T03:15:00"),
        ("20/15 0 0 1 1 *", "2026-01-01T00:00:20", "2026-01-01T00:00:35"),
        ("20/1 0 0 1 1 *", "2026-01-01T00:00:20", "2026-01-01T00:00:21"),
        ("20/1 0 0 1 1 *", "2026-01-01T00:00:59", "2027-01-01T00:00:20"),
        ("0 0 9-17/4 * * Mon-Fri", "2026-11-20T17:00:00", "2026-11-23T09:00:00"),
        ("0 0 17-9/4 * * 1", "2026-11-23T09:00:00", "2026-11-23T13:00:00"),
        ("0 0 0 1,15 jan,JULY *", "2026-01-15T00:00:00", "2026-07-01T00:00:00"),
        ("0 0 0 29 2 *", "2026-03-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 0 29 2 0", "2026-03-01T00:00:00", "2032-02-29T00:00:00"),
    ],
)
def test_the_next_time(expression: str, now: str, next_time: str) -> None:
    assert parse(expression).next_after(at(now)) == at(next_time)


def test_a_day_must_match_both_the_day_and_the_weekday() -> None:
    friday_the_thirteenth = parse("0 0 0 13 * Fri")

    assert friday_the_thirteenth.next_after(at("2026-11-14T00:00:00")) == at("2027-08-13T00:00:00")


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("5/1 * * * * *", range(5, 60)),
        ("5/20 * * * * *", (5, 25, 45)),
        ("5/0 * * * * *", range(5, 60)),
        ("*/0 * * * * *", range(60)),
        ("*/-7 * * * * *", range(60)),
        ("*/+30 * * * * *", (0, 30)),
        ("10-14/0 * * * * *", range(10, 15)),
        ("14-10/2 * * * * *", (10, 12, 14)),
        ("007 * * * * *", (7,)),
        ("1,50/5,1-2 * * * * *", (1, 2, 50, 55)),
    ],
)
def test_a_field_allows_these_values(expression: str, seconds: Sequence[int]) -> None:
    assert parse(expression).seconds == tuple(seconds)


@pytest.mark.parametrize(
    "expression",
    [
        "", "* * * *", "* * * * * * *", "60 * * * * *", "* * 24 * * *", "* * * 0 * *",
        "* * * * 13 *", "* * * * * 7", "* * * L * *", "* * * ? * *", "5/ * * * * *",
        "*/ * * * * *", "/5 * * * * *", "*/x * * * * *", "1- * * * * *", "1--5 * * * * *",
        ", * * * * *", "1, * * * * *", "-1 * * * * *", "+1 * * * * *", "*-5 * * * * *",
        "* * * * * Sunny", "² * * * * *", "* * * * 1st *", "0-60 * * * * *", "1:00:00",
    ],
)  # fmt: skip
def test_an_invalid_schedule_is_rejected_and_quoted(expression: str) -> None:
    with pytest.raises(
        InvalidScheduleError, match=r"^The schedule '.*' is not NCRONTAB, .+: .+\.$"
    ):
        parse(expression)


def test_a_schedule_without_a_valid_date_has_no_next_time() -> None:
    second_of_31_february = parse("0 0 0 31 2 *")

    assert second_of_31_february.next_after(at("2026-01-01T00:00:00")) == NEVER
    assert second_of_31_february.is_monitored(at("2026-01-01T00:00:00"))


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [("3/1 * * * * *", 1), ("0/1 * * * *", 60), ("*/7 * * * * *", 4), ("0 0 0 31 2 *", 86_400)],
)
def test_the_shortest_interval(expression: str, seconds: int) -> None:
    assert shortest_interval(expression) == seconds


@pytest.mark.parametrize(
    ("expression", "monitored"),
    [("0 * * * * *", True), ("*/30 * * * * *", False), ("0,59 0 * * * *", False)],
)
def test_only_schedules_of_a_minute_or_more_are_monitored(
    expression: str,
    monitored: bool,  # noqa: FBT001 - a table of cases
) -> None:
    assert parse(expression).is_monitored(at("2026-11-21T10:00:00")) is monitored


@settings(deadline=None)
@given(
    now=st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),  # noqa: DTZ001
    second=st.integers(0, 59),
    hour=st.integers(0, 23),
)
def test_the_next_time_is_later_and_matches_the_schedule(
    now: datetime, second: int, hour: int
) -> None:
    now = now.replace(tzinfo=UTC)

    found = parse(f"{second} * {hour} * * *").next_after(now)

    assert now < found
    assert (found.second, found.hour, found.microsecond) == (second, hour, 0)


@settings(deadline=None)
@given(
    second=st.sampled_from(["*", "*/7", "5/10", "0", "10-20/3", "59"]),
    minute=st.sampled_from(["*", "*/20", "59", "0,30"]),
    hour=st.sampled_from(["*", "9-17", "0,23", "5/6"]),
)
def test_the_shortest_interval_is_that_of_the_occurrences_of_a_day(
    second: str, minute: str, hour: str
) -> None:
    expression = f"{second} {minute} {hour} * * *"
    schedule = parse(expression)
    times = sorted(
        timedelta(hours=h, minutes=m, seconds=s)
        for h in schedule.hours for m in schedule.minutes for s in schedule.seconds
    )  # fmt: skip
    times.append(times[0] + timedelta(days=1))

    assert shortest_interval(expression) == min(
        (later - earlier).total_seconds() for earlier, later in pairwise(times)
    )
