"""The ticks of a stream: delivery to subscribers, one tick for each moment."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from realtime.messages import Frame
from realtime.streams.definition import Data, Stream
from realtime.streams.executor import RunOutcome
from realtime.streams.status import read_latest
from tests.streams.hosts import (
    NOW,
    SECOND,
    Host,
    always,
    count,
    listening,
    make_stream,
    wait_until_empty,
)
from tests.test_telemetry import Telemetry, exported

__all__ = ["exported"]  # a fixture


async def test_a_tick_is_delivered_to_all_subscribers(host: Host) -> None:
    stream = make_stream()
    async with (
        listening(host, "ann", stream.group) as ann,
        listening(host, "bob", stream.group) as bob,
    ):
        await host.run_tick(stream, NOW)

        frames = await ann.receive_frame()
        assert frames == await bob.receive_frame()

    assert frames == {
        "type": "test",
        "stream": stream.name,
        "tick": int(NOW.timestamp()),
        "timestamp": "2026-11-21T10:00:00.000Z",
        "stale": False,
        "full": True,
        "data": {"count": 1},
    }


async def test_a_stream_without_subscribers_does_not_call_its_producer(host: Host) -> None:
    calls = 0

    async def tick(_previous: Frame | None, _now: datetime) -> Data:
        nonlocal calls
        calls += 1
        return {}

    quiet = make_stream(tick)
    for second in range(120):
        assert await host.run_tick(quiet, NOW + second * SECOND) is RunOutcome.NO_SUBSCRIBERS

    assert calls == 0
    assert await read_latest(host.store, quiet, datetime.now(UTC)) is None


async def test_only_a_stream_with_subscribers_is_reported_to_have_some(
    host: Host, exported: Telemetry
) -> None:
    """The alert `stream-stands-still` compares this with the ticks."""
    quiet, read = make_stream(), make_stream()
    async with listening(host, "ann", read.group):
        for stream in (quiet, read):
            await host.run_tick(stream, NOW)

    for name in ("townsquare.stream.subscribed", "townsquare.stream.age"):
        points = exported.points(name)
        assert [point.attributes["stream"] for point in points] == [read.name], name


async def test_the_first_subscriber_after_a_pause_receives_the_next_tick_in_full(
    host: Host,
) -> None:
    stream = make_stream(always({"symbols": {"A": 1}}), deltas="symbols")
    async with listening(host, "ann", stream.group):
        await host.run_tick(stream, NOW)
    await wait_until_empty(host, stream.group)

    assert await host.run_tick(stream, NOW + SECOND) is RunOutcome.NO_SUBSCRIBERS
    async with listening(host, "bob", stream.group) as bob:
        await host.run_tick(stream, NOW + 2 * SECOND)
        frames = await bob.receive_frame()

    assert frames["full"]
    assert frames["tick"] == stream.tick_at(NOW + 2 * SECOND)


async def test_two_instances_that_run_the_same_ticks_publish_each_once(
    start_host: Callable[..., Host],
) -> None:
    hosts, stream = [start_host(), start_host()], make_stream()
    async with listening(hosts[0], "ann", stream.group) as ann:
        for second in range(20):
            now = NOW + second * SECOND
            await asyncio.gather(*(host.run_tick(stream, now) for host in hosts))
        frames = await ann.receive_until(lambda frame: frame["tick"] == stream.tick_at(NOW) + 19)

    assert [frame["tick"] for frame in frames] == [stream.tick_at(NOW) + n for n in range(20)]
    assert [frame["data"]["count"] for frame in frames] == list(range(1, 21))


async def test_a_timer_that_fires_twice_publishes_once(host: Host) -> None:
    stream = make_stream()
    async with listening(host, "ann", stream.group) as ann:
        for moment in [NOW, NOW, NOW + 0.4 * SECOND, NOW + SECOND]:
            await host.run_tick(stream, moment)
        await asyncio.gather(*(host.run_tick(stream, NOW + 2 * SECOND) for _ in range(5)))
        frames = await ann.receive_until(lambda frame: frame["tick"] == stream.tick_at(NOW) + 2)

    assert [frame["data"]["count"] for frame in frames] == [1, 2, 3]


def test_an_early_timer_runs_the_due_tick() -> None:
    stream = make_stream()
    early = 0.002 * SECOND

    assert stream.tick_at(NOW - early) == stream.tick_at(NOW)
    assert stream.tick_at(NOW - 0.5 * SECOND) == stream.tick_at(NOW) - 1


async def test_instances_that_alternate_continue_from_each_other(
    start_host: Callable[..., Host],
) -> None:
    hosts, stream = [start_host(), start_host()], make_stream()
    async with listening(hosts[0], "ann", stream.group) as ann:
        for second in range(6):
            await hosts[second % 2].run_tick(stream, NOW + second * SECOND)
        frames = await ann.receive_until(lambda frame: frame["tick"] == stream.tick_at(NOW) + 5)

    assert [frame["data"]["count"] for frame in frames] == [1, 2, 3, 4, 5, 6]


async def test_a_late_tick_is_not_published(host: Host) -> None:
    stream = make_stream()
    async with listening(host, "ann", stream.group) as ann:
        await host.run_tick(stream, NOW)
        await host.run_tick(stream, NOW + 10 * SECOND)
        await host.run_tick(stream, NOW + 3 * SECOND)
        await host.run_tick(stream, NOW + 11 * SECOND)
        frames = [await ann.receive_frame() for _ in range(3)]

    assert [frame["tick"] - stream.tick_at(NOW) for frame in frames] == [0, 10, 11]


async def test_a_tick_from_a_wrong_clock_does_not_stop_a_stream(
    start_host: Callable[..., Host],
) -> None:
    wrong, right, stream = start_host(), start_host(), make_stream()
    async with listening(right, "ann", stream.group) as ann:
        await wrong.run_tick(stream, NOW + timedelta(hours=1))
        await right.run_tick(stream, NOW)
        frames = [await ann.receive_frame() for _ in range(2)]

    assert frames[1]["tick"] == stream.tick_at(NOW)


async def test_a_stream_continues_when_its_row_was_deleted(host: Host) -> None:
    stream = make_stream()
    async with listening(host, "ann", stream.group) as ann:
        await host.run_tick(stream, NOW)
        await host.tables.open("streams").delete_entity(stream.name, "latest")
        await host.run_tick(stream, NOW + SECOND)
        frames = [await ann.receive_frame() for _ in range(2)]

    assert frames[1]["tick"] == stream.tick_at(NOW) + 1


@pytest.mark.parametrize("frame", ["", "{}", "not json", '{"tick": "one"}'])
async def test_a_row_of_another_version_is_replaced(host: Host, frame: str) -> None:
    stream = make_stream()
    table = host.tables.open("streams")
    await table.create_entity({"PartitionKey": stream.name, "RowKey": "latest", "frame": frame})

    assert await read_latest(host.store, stream, NOW) is None
    async with listening(host, "ann", stream.group) as ann:
        await host.run_tick(stream, NOW)
        assert (await ann.receive_frame())["data"] == {"count": 1}


async def test_a_stream_continues_when_its_schedule_changes(
    start_host: Callable[..., Host],
) -> None:
    before, after = start_host(), start_host()
    stream = make_stream()
    slower = Stream(stream.name, "", stream.group, "", "*/5 * * * * *", "test", count)
    async with listening(before, "ann", stream.group) as ann:
        await before.run_tick(stream, NOW)
        await after.run_tick(slower, NOW + 5 * SECOND)
        frames = [await ann.receive_frame() for _ in range(2)]

    assert [frame["data"]["count"] for frame in frames] == [1, 2]


@asynccontextmanager
async def losing_responses(connection_string: str) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A proxy of the storage that drops the response to a request with one of these first bytes."""
    upstream = re.search(r"//([\d.a-z]+):(\d+)/", connection_string)
    assert upstream
    lost: list[bytes] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(upstream[1], int(upstream[2]))
        try:
            while request := await reader.read(65_536):
                far_writer.write(request)
                response = await far_reader.read(65_536)
                if any(request.startswith(begin) for begin in lost):
                    lost.clear()
                    return
                writer.write(response)
        finally:
            far_writer.close()
            writer.close()

    async with await asyncio.start_server(relay, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        yield connection_string.replace(upstream[0], f"//127.0.0.1:{port}/"), lost


async def test_a_tick_is_published_once_if_the_response_to_its_write_is_lost(
    stack: Any, start_host: Callable[..., Host]
) -> None:
    stream = make_stream()
    async with losing_responses(stack.tables_connection_string) as (tables, lost):
        host = start_host(tables=tables)
        async with listening(host, "ann", stream.group) as ann:
            await host.run_tick(stream, NOW)
            lost.append(b"POST")
            for second in range(1, 4):
                await host.run_tick(stream, NOW + second * SECOND)
            frames = await ann.receive_until(lambda frame: frame["tick"] == stream.tick_at(NOW) + 3)
        await host.close()

    assert lost == []
    assert [frame["data"]["count"] for frame in frames] == [1, 2, 3, 4]
