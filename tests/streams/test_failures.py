"""Failures of producers, storage and service."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import pytest
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient

from realtime.azure.web_pubsub import Hub
from realtime.messages import Frame
from realtime.streams.definition import Data, Stale
from realtime.streams.status import read_latest
from tests.streams.hosts import (
    DEADLINE_SECONDS,
    NOW,
    SECOND,
    Host,
    always,
    listening,
    make_stream,
    prices,
    sequence_of,
)


class FailingHub(Hub):
    """The real service; publishing fails while `fails` is set."""

    fails = False

    async def send_to_group(self, group: str, message: Any) -> None:
        if self.fails:
            raise ConnectionError
        await super().send_to_group(group, message)


@pytest.fixture
async def failing_hub(stack: Any) -> AsyncIterator[FailingHub]:
    client = WebPubSubServiceClient.from_connection_string(
        stack.webpubsub_connection_string, hub="streams"
    )
    async with client:
        yield FailingHub(client, "streams", "", [])


@pytest.mark.parametrize("failure", [RuntimeError("s3cret"), Stale({"count": 1}, "a reason")])
async def test_a_failing_producer_repeats_its_last_values_marked_stale(
    host: Host, failure: Stale | Exception
) -> None:
    stream = make_stream(sequence_of({"count": 1}, failure))
    async with listening(host, "ann", stream.group) as ann:
        await host.run_tick(stream, NOW)
        await host.run_tick(stream, NOW + SECOND)
        frames = [await ann.receive_frame() for _ in range(2)]

    assert [frame["stale"] for frame in frames] == [False, True]
    assert frames[1]["data"] == {"count": 1}


async def test_a_slow_producer_times_out_and_delays_no_other_stream(
    start_host: Callable[..., Host],
) -> None:
    async def hang(_previous: Frame | None, _now: datetime) -> Data:
        await asyncio.Event().wait()
        raise AssertionError

    host, hanging, stream = start_host(min_tick_timeout_seconds=1), make_stream(hang), make_stream()
    async with listening(host, "ann", stream.group, hanging.group) as ann:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asyncio.gather(
                host.run_tick(hanging, NOW),
                host.run_tick(stream, NOW),
            )
        assert (await ann.receive_frame())["stream"] == stream.name


async def test_one_line_is_logged_when_a_stream_starts_to_fail_and_one_when_it_works_again(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    failing = RuntimeError("s3cret")
    stream = make_stream(
        sequence_of({"n": 1}, failing, failing, failing, {"n": 2}, {"n": 3}, failing)
    )
    caplog.set_level(logging.INFO, "realtime")

    async with listening(host, "ann", stream.group):
        for second in range(8):
            await host.run_tick(stream, NOW + second * SECOND)

    lines = [one.getMessage() for one in caplog.records if one.name.startswith("realtime")]
    assert len(lines) == 3
    assert lines[0].startswith(f"The stream {stream.name} fails: RuntimeError in hosts.py")
    assert lines[1] == f"The stream {stream.name} works again."
    assert "s3cret" not in caplog.text


async def test_a_failing_publish_is_logged_once(
    start_host: Callable[..., Host],
    host: Host,
    failing_hub: FailingHub,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream, failing = make_stream(), start_host(hub=failing_hub)
    caplog.set_level(logging.INFO, "realtime")

    async with listening(host, "ann", stream.group):
        for second in range(10):
            failing_hub.fails = 2 <= second < 8
            await failing.run_tick(stream, NOW + second * SECOND)

    lines = [one.getMessage() for one in caplog.records if one.name.startswith("realtime")]
    assert len(lines) == 2
    assert lines[1] == f"The stream {stream.name} works again."


@pytest.mark.parametrize("data", [{"a": object()}, ["a list"], "text", {"text": "x" * 40_000}])
async def test_data_that_is_not_a_json_object_or_too_large_is_never_published(
    host: Host, caplog: pytest.LogCaptureFixture, data: Any
) -> None:
    stream = make_stream(sequence_of({"n": 1}, data, {"n": 2}))
    async with listening(host, "ann", stream.group) as ann:
        for second in range(3):
            await host.run_tick(stream, NOW + second * SECOND)
        frames = await ann.receive_until(lambda frame: frame["tick"] == stream.tick_at(NOW) + 2)

    assert {frame["data"]["n"] for frame in frames} == {1, 2}
    assert f"The stream {stream.name} fails" in caplog.text


async def test_the_published_and_the_stored_frame_are_the_same_json(host: Host) -> None:
    stream = make_stream(always({"nan": float("nan"), "pair": (1, 2), "at": NOW}))
    async with listening(host, "ann", stream.group) as ann:
        await host.run_tick(stream, NOW)
        frames = await ann.receive_frame()

    latest = await read_latest(host.store, stream, NOW)
    assert latest is not None
    assert frames["data"] == {"nan": None, "pair": [1, 2], "at": "2026-11-21T10:00:00Z"}
    assert latest.data == frames["data"]


async def test_a_producer_may_change_the_previous_frame(host: Host) -> None:
    async def tick(previous: Frame | None, _now: datetime) -> Data:
        data = previous.data if previous else prices(A=0, B=0)
        data["symbols"]["A"] += 1
        return data

    stream = make_stream(tick, deltas="symbols", full_every=1000)
    async with listening(host, "ann", stream.group) as ann:
        for second in range(1, 4):
            await host.run_tick(stream, NOW + second * SECOND)
        frames = [await ann.receive_frame() for _ in range(3)]

    assert [frame["data"]["symbols"] for frame in frames] == [{"A": 1, "B": 0}, {"A": 2}, {"A": 3}]


async def test_a_producer_that_returns_none_publishes_nothing(host: Host) -> None:
    stream = make_stream(sequence_of({"n": 1}, None, {"n": 2}))
    async with listening(host, "ann", stream.group) as ann:
        for second in range(3):
            await host.run_tick(stream, NOW + second * SECOND)
        frames = [await ann.receive_frame() for _ in range(2)]

    assert [frame["data"]["n"] for frame in frames] == [1, 2]


async def test_the_frame_after_a_failed_publish_is_full(
    start_host: Callable[..., Host], host: Host, failing_hub: FailingHub
) -> None:
    steps = sequence_of(prices(A=1, B=1), prices(A=2, B=1), prices(A=2, B=2))
    stream = make_stream(steps, deltas="symbols", full_every=1000)
    failing = start_host(hub=failing_hub)
    async with listening(host, "ann", stream.group) as ann:
        await failing.run_tick(stream, NOW + SECOND)
        failing_hub.fails = True
        await failing.run_tick(stream, NOW + 2 * SECOND)
        failing_hub.fails = False
        await failing.run_tick(stream, NOW + 3 * SECOND)
        frames = [await ann.receive_frame() for _ in range(2)]

    assert frames[1]["full"]
    assert frames[1]["data"] == prices(A=2, B=2)
