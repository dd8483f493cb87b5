"""Delta frames."""

from datetime import UTC, datetime

from realtime.streams.definition import Data, Stale
from realtime.streams.status import read_latest
from tests.streams.hosts import (
    NOW,
    SECOND,
    Host,
    listening,
    make_stream,
    prices,
    sequence_of,
)


async def test_a_delta_has_only_the_changes_and_the_stored_frame_has_all(host: Host) -> None:
    stream = make_stream(
        sequence_of(prices(A=1, B=1), prices(A=1, B=2)), deltas="symbols", full_every=1000
    )
    async with listening(host, "ann", stream.group) as ann:
        await host.run_tick(stream, NOW + SECOND)
        await host.run_tick(stream, NOW + 2 * SECOND)
        first, second = await ann.receive_frame(), await ann.receive_frame()

    assert (first["full"], first["data"]) == (True, prices(A=1, B=1))
    assert (second["full"], second["data"]) == (False, prices(B=2))
    latest = await read_latest(host.store, stream, datetime.now(UTC))
    assert latest is not None
    assert (latest.full, latest.data) == (True, prices(A=1, B=2))


async def test_deltas_merged_into_full_frames_give_the_producers_data(host: Host) -> None:
    results = [prices(A=n // 2, B=n // 3, C=n // 7) for n in range(25)]
    stream = make_stream(sequence_of(*results), deltas="symbols")
    async with listening(host, "ann", stream.group) as ann:
        for second in range(25):
            await host.run_tick(stream, NOW + second * SECOND)
        frames = await ann.receive_until(lambda frame: frame["tick"] == stream.tick_at(NOW) + 24)

    merged: Data = {}
    for frame in frames:
        symbols = frame["data"]["symbols"]
        merged = symbols if frame["full"] else {**merged, **symbols}
        assert merged == results[frame["tick"] - stream.tick_at(NOW)]["symbols"]
    assert [frame["full"] for frame in frames].count(True) == 3


async def test_without_changes_only_full_frames_are_published(host: Host) -> None:
    aging = sequence_of(*(prices(A={"price": 1, "age_seconds": n}) for n in range(21)))
    stream = make_stream(aging, deltas="symbols", full_every=10)
    async with listening(host, "ann", stream.group) as ann:
        for second in range(21):
            await host.run_tick(stream, NOW + second * SECOND)
        frames = await ann.receive_until(lambda frame: frame["tick"] == stream.tick_at(NOW) + 20)

    assert [frame["tick"] - stream.tick_at(NOW) for frame in frames] == [0, 10, 20]
    assert all(frame["full"] for frame in frames)


async def test_an_added_or_removed_entry_makes_a_full_frame(host: Host) -> None:
    stream = make_stream(
        sequence_of(prices(A=1, B=1), prices(A=1)), deltas="symbols", full_every=1000
    )
    async with listening(host, "ann", stream.group) as ann:
        await host.run_tick(stream, NOW + SECOND)
        await host.run_tick(stream, NOW + 2 * SECOND)
        await ann.receive_frame()
        second = await ann.receive_frame()

    assert (second["full"], second["data"]) == (True, prices(A=1))


async def test_unchanged_values_that_become_stale_are_published_at_once(
    host: Host,
) -> None:
    same = prices(A=1)
    stream = make_stream(
        sequence_of(same, Stale(same, "down"), same), deltas="symbols", full_every=1000
    )
    async with listening(host, "ann", stream.group) as ann:
        for second in range(1, 4):
            await host.run_tick(stream, NOW + second * SECOND)
        frames = [await ann.receive_frame() for _ in range(3)]

    assert [frame["stale"] for frame in frames] == [False, True, False]
    assert all(frame["full"] for frame in frames)
