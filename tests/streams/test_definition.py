"""Valid and invalid definitions of streams."""

import pytest

from realtime.ncrontab import shortest_interval
from realtime.settings import InvalidSettingsError
from realtime.streams.definition import Stream, registry
from tests.streams.hosts import (
    count,
)


@pytest.mark.parametrize(
    ("schedule", "seconds"),
    [
        ("* * * * * *", 1),
        ("*/5 * * * * *", 5),
        ("0 * * * * *", 60),
        ("*/5 * * * *", 300),
        ("10,50 * * * * *", 20),
        ("0,30 59 * * * *", 30),
        ("0 0,59 * * * *", 60),
        ("0 30 9-16 * * 1-5", 3600),
        ("0 0 9 * * *", 86_400),
        ("45/5 * * * * *", 5),
        ("59 59 23 * * *", 86_400),
        ("0,59 0,59 0,23 * * *", 1),
    ],
)
def test_the_interval_is_the_shortest_time_between_two_ticks(schedule: str, seconds: int) -> None:
    assert shortest_interval(schedule) == seconds


@pytest.mark.parametrize(
    "schedule", ["", "every second", "60 * * * * *", "* * *", "*/x * * * * *", "5/ * * * * *"]
)
def test_an_invalid_schedule_is_rejected(schedule: str) -> None:
    with pytest.raises(InvalidSettingsError, match="is not NCRONTAB"):
        shortest_interval(schedule)


@pytest.mark.parametrize("name", ["", "Moon", "the_moon", "the moon", "1st", "a" * 65])
def test_an_invalid_name_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Stream(name, "", "group", "", "* * * * * *", "test", count)


@pytest.mark.parametrize("group", ["", "room.lobby", "a b", "a'b"])
def test_an_invalid_group_is_rejected(group: str) -> None:
    with pytest.raises(ValueError, match="group"):
        Stream("name", "", group, "", "* * * * * *", "test", count)


def test_two_streams_cannot_share_a_name_or_a_group(listed: Stream) -> None:
    twin = Stream("another", "", listed.group, "", "* * * * * *", "test", count)

    with pytest.raises(ValueError, match="already"):
        registry.register(twin)
