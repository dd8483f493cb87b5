"""The history of a stream: recording, thinning and retention."""

from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import aiohttp
import pytest

from local.parts import Stack
from realtime.errors import ApiError
from realtime.streams.definition import Stale, Stream
from realtime.streams.history import SPANS_SECONDS
from realtime.streams.pushed import NewFrame, PushedStream, PushedStreams
from tests.streams.hosts import (
    NOW,
    SECOND,
    Host,
    always,
    listening,
    make_stream,
    sequence_of,
)

DAY = timedelta(days=1)


async def read_counts(host: Host, stream: Stream, seconds: int, points: int = 1000) -> list[int]:
    found = await host.history.read(stream.name, NOW, NOW + seconds * SECOND, points)
    return [point.data["count"] for point in found.points]


def make_pushed(**more: Any) -> PushedStream:
    name = make_stream().name
    return PushedStream(name, "For a test", name, "", "test", 60.0, **more)


async def fill(host: Host, stream: PushedStream, times: list[datetime]) -> None:
    frames = [NewFrame({"n": number}, time) for number, time in enumerate(times)]
    for start in range(0, len(frames), 50):
        await host.pushed.push(stream, frames[start : start + 50], NOW)


# --- recording ------------------------------------------------------------------------------


async def test_each_tick_with_subscribers_is_recorded(host: Host) -> None:
    stream = make_stream()
    async with listening(host, "ann", stream.group):
        await host.executor.run_minute([stream])

    found = await host.history.read(stream.name, NOW, NOW + 60 * SECOND, 1000)
    assert [point.data["count"] for point in found.points] == list(range(1, 61))
    assert found.span_seconds == 0
    assert found.points[0].timestamp == "2026-11-21T10:00:00.000Z"
    assert found.points[-1].timestamp == "2026-11-21T10:00:59.000Z"


async def test_nothing_is_recorded_without_subscribers(host: Host) -> None:
    stream = make_stream()

    await host.executor.run_minute([stream])

    assert await read_counts(host, stream, 60) == []


async def test_unchanged_and_stale_frames_are_not_recorded(host: Host) -> None:
    stream = make_stream(
        sequence_of(
            {"count": 1, "age_seconds": 0},
            {"count": 1, "age_seconds": 1},
            {"count": 2, "age_seconds": 0},
            Stale({"count": 9}, "down"),
            {"count": 3},
        )
    )
    async with listening(host, "ann", stream.group):
        for second in range(6):
            await host.run_tick(stream, NOW + second * SECOND)

    assert await read_counts(host, stream, 60) == [1, 2, 3]


async def test_a_tick_costs_one_write_with_its_history(host: Host) -> None:
    stream = make_stream()
    async with listening(host, "ann", stream.group):
        await host.executor.run_minute([stream])

    assert host.tables.opened == 2 + 60  # a read and a write of the lease, and a write a tick


async def test_the_number_of_pushed_streams_is_limited(host: Host) -> None:
    pushed = PushedStreams(host.store, host.hub, max_streams=0)

    with pytest.raises(ApiError) as raised:
        await pushed.put(make_pushed())

    assert raised.value.code == "too_many_streams"


# --- thinning -------------------------------------------------------------------------------


async def test_a_response_has_at_most_the_requested_points(host: Host) -> None:
    stream = make_pushed(always=True)
    await fill(host, stream, [NOW - (2400 - n) * SECOND for n in range(2400)])
    begin, end = NOW - 2400 * SECOND, NOW

    for points in (1, 2, 7, 100, 481, 1000):
        found = await host.history.read(stream.name, begin, end, points)
        assert 1 <= len(found.points) <= points
        assert found.span_seconds in SPANS_SECONDS
        times = [datetime.fromisoformat(one.timestamp) for one in found.points]
        spans = [int(time.timestamp() // max(1, found.span_seconds)) for time in times]
        assert all(before < after for before, after in pairwise(spans))

    fine = await host.history.read(stream.name, begin, end, 1000)
    assert fine.span_seconds == 5
    assert len(fine.points) == 480


async def test_the_point_of_a_span_is_its_first_recorded_frame(host: Host) -> None:
    stream = make_pushed(always=True)
    times = [NOW - (600 - 7 * n) * SECOND for n in range(80)]
    await fill(host, stream, times)

    found = await host.history.read(stream.name, NOW - 600 * SECOND, NOW, 12)

    first_of_span: dict[int, int] = {}
    for number, time in enumerate(times):
        first_of_span.setdefault(int(time.timestamp() // 60), number)
    assert found.span_seconds == 60
    assert [point.data["n"] for point in found.points] == list(first_of_span.values())


@pytest.mark.parametrize("points", [1, 2, 3, 10, 40, 300])
async def test_the_span_is_the_shortest_with_which_the_points_fit(host: Host, points: int) -> None:
    stream = make_pushed(always=True)
    offsets = sorted(Random(points).sample(range(3600), 60))
    times = [NOW - timedelta(hours=1) + offset * SECOND for offset in offsets]
    await fill(host, stream, times)

    found = await host.history.read(stream.name, times[0], NOW, points)

    expected = {
        span: {int(time.timestamp()) // span if span else time for time in times}
        for span in SPANS_SECONDS
    }
    assert found.span_seconds == min(
        (span for span, spans in expected.items() if len(spans) <= points),
        default=SPANS_SECONDS[-1],
    )
    assert len(found.points) == min(len(expected[found.span_seconds]), points)


async def test_large_frames_make_the_response_coarser_and_not_larger(host: Host) -> None:
    stream = make_stream(always({"text": "x"}))
    pushed = make_pushed(always=True)
    frames = [
        NewFrame({"n": n, "text": "x" * 30_000}, NOW - (300 - n) * SECOND) for n in range(300)
    ]
    for start in range(0, 300, 5):
        await host.pushed.push(pushed, frames[start : start + 5], NOW)

    found = await host.history.read(pushed.name, NOW - 300 * SECOND, NOW, 1000)

    assert stream.name != pushed.name
    assert sum(len(one.data["text"]) for one in found.points) <= 2_000_000
    assert len(found.points) == 60


# --- retention ------------------------------------------------------------------------------


async def test_the_purge_keeps_full_resolution_for_hours_and_5_minutes_for_days(host: Host) -> None:
    stream = make_pushed(always=True)
    old = [NOW - 3 * DAY + 30 * n * SECOND for n in range(100)]
    older = [NOW - 31 * DAY, NOW - 31 * DAY + SECOND]
    recent = [NOW - timedelta(hours=23) + n * SECOND for n in range(20)]
    await fill(host, stream, older + old + recent)

    removed = await host.history.purge(stream.name, NOW, hours=24, days=30)

    remaining = await host.history.read(stream.name, NOW - 40 * DAY, NOW, 1000)
    again = await host.history.purge(stream.name, NOW, hours=24, days=30)
    recent_points = await host.history.read(stream.name, recent[0], NOW, 1000)
    assert again == 0
    assert removed >= 2 + 100 - 11
    assert remaining.points
    first = datetime.fromisoformat(remaining.points[0].timestamp)
    assert first >= NOW - 30 * DAY
    assert recent_points.points
    seconds = await host.history.read(stream.name, recent[0], recent[-1] + SECOND, 1000)
    assert len(seconds.points) == 20
    minutes = await host.history.read(stream.name, old[0], old[-1] + SECOND, 100)
    assert 10 <= len(minutes.points) <= 11


# --- over HTTP ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "since=2026-11-21T10:00:00",
        "since=2026-11-21T10:00:00Z&until=2026-11-21T10:00:00Z",
        "since=0001-01-01T00:00:00Z",
        "until=0001-01-01T00:00:00Z",
        "until=9999-12-31T23:59:59-01:00",
        "since=2026-11-21T10:00:00Z&until=9999-12-31T23:59:59-01:00",
        "points=0",
        "points=1001",
        "points=many",
    ],
)
async def test_an_invalid_query_is_rejected(
    stack: Stack, http: aiohttp.ClientSession, query: str
) -> None:
    async with http.get(f"{stack.url}/api/streams/weather/history?{query}") as response:
        body = await response.json()

    assert response.status == 400
    assert body["error"]["code"] == "invalid_request"


async def test_the_history_of_an_unknown_stream_is_not_found(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"{stack.url}/api/streams/no-such-stream/history") as response:
        assert response.status == 404
