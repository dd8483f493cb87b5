"""The last frame and the status of a stream."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from realtime.azure.tables import Table, Tables
from realtime.streams.status import read_latest, read_status
from realtime.streams.store import StreamStore
from tests.streams.hosts import (
    NOW,
    SECOND,
    Host,
    listening,
    make_stream,
    sequence_of,
)


async def test_concurrent_callers_share_one_read_of_the_last_frame(
    start_host: Callable[..., Host],
) -> None:
    now = 100.0
    writer, reader, stream = (
        start_host(),
        start_host(monotonic=lambda: now),
        make_stream(schedule="*/4 * * * * *"),
    )
    async with listening(writer, "ann", stream.group):
        await writer.run_tick(stream, NOW)

    frames = await asyncio.gather(*(read_latest(reader.store, stream, NOW) for _ in range(50)))
    assert all(frame and frame.data == {"count": 1} for frame in frames)
    assert reader.tables.opened == 1

    now += 3.9
    await read_latest(reader.store, stream, datetime.now(UTC))
    assert reader.tables.opened == 1

    now += 0.2
    await read_latest(reader.store, stream, datetime.now(UTC))
    assert reader.tables.opened == 2


async def test_the_next_caller_repeats_a_failed_read(host: Host) -> None:
    class FailingTables(Tables):
        """The real tables; opening the first one fails."""

        failures = 1

        def open(self, name: str) -> Table:
            if self.failures:
                self.failures -= 1
                raise ConnectionError
            return host.tables.open(name)

    stream = make_stream()
    store = StreamStore(FailingTables(host.tables.service))

    with pytest.raises(ConnectionError):
        await read_latest(store, stream, NOW)

    assert await read_latest(store, stream, NOW) is None


async def test_a_stream_without_a_frame_is_not_active(host: Host) -> None:
    status = await read_status(host.store, make_stream(), NOW)

    assert (status.active, status.stale) == (False, True)
    assert (status.last_tick, status.age_seconds, status.latest) == (None, None, None)


async def test_a_stream_is_active_while_its_ticks_are_on_time(host: Host) -> None:
    stream = make_stream()
    async with listening(host, "ann", stream.group):
        await host.run_tick(stream, NOW)

    now = await read_status(host.store, stream, NOW + SECOND)
    later = await read_status(host.store, stream, NOW + 60 * SECOND)

    assert (now.active, now.stale, now.age_seconds) == (True, False, 1.0)
    assert (later.active, later.stale, later.age_seconds) == (False, True, 60.0)
    assert now.interval_seconds == 1
    assert now.last_tick == stream.tick_at(NOW)
    assert now.latest is not None
    assert now.latest.data == {"count": 1}


async def test_a_frame_from_before_a_pause_is_returned_as_stale(host: Host) -> None:
    stream = make_stream()
    async with listening(host, "ann", stream.group):
        await host.run_tick(stream, NOW)

    fresh = await read_latest(host.store, stream, NOW + SECOND)
    old = await read_latest(host.store, stream, NOW + 3600 * SECOND)

    assert fresh is not None
    assert old is not None
    assert (fresh.stale, old.stale) == (False, True)
    assert old.data == fresh.data


async def test_a_failing_stream_is_active_and_stale(host: Host) -> None:
    stream = make_stream(sequence_of({"n": 1}, RuntimeError()))
    async with listening(host, "ann", stream.group):
        await host.run_tick(stream, NOW)
        await host.run_tick(stream, NOW + SECOND)

    status = await read_status(host.store, stream, NOW + SECOND)

    assert (status.active, status.stale) == (True, True)
