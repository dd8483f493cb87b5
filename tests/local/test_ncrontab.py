"""When a timer fires."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.ncrontab import parse


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
        ("20/1 0 0 1 1 *", "2026-01-01T00:00:20", "2027-01-01T00:00:20"),
        ("0 0 9-17/4 * * Mon-Fri", "2026-11-20T17:00:00", "2026-11-23T09:00:00"),
        ("0 0 17-9/4 * * 1", "2026-11-23T09:00:00", "2026-11-23T13:00:00"),
        ("0 0 0 1,15 jan,JULY *", "2026-01-15T00:00:00", "2026-07-01T00:00:00"),
        ("0 0 0 29 2 *", "2026-03-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 0 29 2 0", "2026-03-01T00:00:00", "2032-02-29T00:00:00"),
    ],
)
def test_the_next_time(expression: str, now: str, next_time: str) -> None:
    assert parse(expression).after(at(now)) == at(next_time)


def test_a_day_must_match_both_the_day_and_the_weekday() -> None:
    friday_the_thirteenth = parse("0 0 0 13 * Fri")

    assert friday_the_thirteenth.after(at("2026-11-14T00:00:00")) == at("2027-08-13T00:00:00")


@pytest.mark.parametrize(
    "expression",
    [
        "", "* * * *", "* * * * * * *", "60 * * * * *", "* * 24 * * *", "* * * 0 * *",
        "* * * * 13 *", "* * * * * 7", "* * * L * *", "* * * ? * *", "*/0 * * * * *",
        "*/x * * * * *", "1- * * * * *", ", * * * * *", "-1 * * * * *", "* * * * * Sunny",
        "² * * * * *",
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(expression)


def test_a_day_that_never_comes_is_an_error() -> None:
    with pytest.raises(ValueError, match="never fires"):
        parse("0 0 0 31 2 *").after(at("2026-01-01T00:00:00"))


@pytest.mark.parametrize(
    ("expression", "monitored"),
    [("0 * * * * *", True), ("*/30 * * * * *", False), ("0,59 0 * * * *", False)],
)
def test_only_schedules_of_a_minute_or_more_are_monitored(
    expression: str,
    monitored: bool,  # noqa: FBT001 - a table of cases
) -> None:
    assert parse(expression).is_monitored(at("2026-11-21T10:00:00")) is monitored


@given(
    now=st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),  # noqa: DTZ001
    second=st.integers(0, 59),
    hour=st.integers(0, 23),
)
def test_the_next_time_is_later_and_fits(now: datetime, second: int, hour: int) -> None:
    now = now.replace(tzinfo=UTC)

    found = parse(f"{second} * {hour} * * *").after(now)

    assert now < found
    assert (found.second, found.hour, found.microsecond) == (second, hour, 0)
