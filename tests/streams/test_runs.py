"""Runs: each tick is made by one invocation, and the next one continues."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from local.parts import Stack
from realtime.errors import ApiError
from realtime.messages import Frame
from realtime.streams.clock import StreamClock
from realtime.streams.definition import Data
from realtime.streams.executor import RunOutcome
from realtime.streams.runs import Run, new_subscriber_run, new_timer_run
from realtime.streams.self_call import SelfCaller
from realtime.streams.subscriber_runs import SubscriberRuns
from tests.streams.hosts import (
    DEADLINE_SECONDS,
    NOW,
    SECOND,
    Host,
    Listener,
    TestClock,
    count,
    listening,
    make_stream,
    wait_until_empty,
)

MINUTE = timedelta(minutes=1)
FIRST_TICK = int(NOW.timestamp())


class CountingProducer:
    """Counts its ticks and its calls."""

    def __init__(self) -> None:
        self.calls = 0

    async def tick(self, previous: Frame | None, now: datetime) -> Data:
        self.calls += 1
        return await count(previous, now)


class RecordingCaller(SelfCaller):
    """Records the calls instead of sending them."""

    def __init__(self, *, works: bool = True) -> None:
        super().__init__("http://localhost")
        self.works = works
        self.calls: list[tuple[str, float]] = []

    async def call(self, stream_name: str, run_id: str, until: float) -> bool:  # noqa: ARG002
        self.calls.append((run_id, until))
        return self.works


def subscriber_runs_of(host: Host, caller: SelfCaller) -> SubscriberRuns:
    return SubscriberRuns(host.store, host.hub, host.executor, caller, host.clock)


def is_tick(offset: int) -> Callable[[Data], bool]:
    return lambda frame: frame["tick"] >= FIRST_TICK + offset


# --- the timer's minute ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "ticks"), [("* * * * * *", 60), ("*/5 * * * * *", 12), ("0 * * * * *", 1)]
)
async def test_the_timer_makes_every_tick_of_its_minute(
    host: Host, schedule: str, ticks: int
) -> None:
    producer = CountingProducer()
    stream = make_stream(producer.tick, schedule=schedule)
    async with listening(host, "ann", stream.group) as ann:
        await host.executor.run_minute([stream])
        frames = await ann.receive_until(lambda frame: frame["data"]["count"] == ticks)

    first = stream.tick_at(NOW)
    assert [frame["tick"] for frame in frames] == list(range(first, first + ticks))
    assert producer.calls == ticks
    assert host.clock.now() <= NOW + MINUTE


async def test_three_minutes_have_no_gap_and_no_repeated_tick(host: Host) -> None:
    stream = make_stream()
    async with listening(host, "ann", stream.group) as ann:
        for minute in range(3):
            host.clock.time = NOW + minute * MINUTE  # type: ignore[attr-defined]
            await host.executor.run_minute([stream])
        frames = await ann.receive_until(is_tick(179))

    assert [frame["tick"] - FIRST_TICK for frame in frames] == list(range(180))


async def test_a_minute_without_subscribers_costs_one_request(host: Host) -> None:
    producer = CountingProducer()

    await host.executor.run_minute([make_stream(producer.tick)])

    assert producer.calls == 0
    assert host.tables.opened == 0
    assert host.clock.now() == NOW


async def test_a_stream_that_runs_always_needs_no_subscriber(host: Host) -> None:
    producer = CountingProducer()

    await host.executor.run_minute([make_stream(producer.tick, always=True)])

    assert producer.calls == 60


async def test_two_instances_with_the_same_minute_make_each_tick_once(
    start_host: Callable[..., Host],
) -> None:
    hosts, producer = [start_host(), start_host()], CountingProducer()
    stream = make_stream(producer.tick)
    async with listening(hosts[0], "ann", stream.group) as ann:
        await asyncio.gather(*(host.executor.run_minute([stream]) for host in hosts))
        frames = await ann.receive_until(is_tick(59))

    assert [frame["data"]["count"] for frame in frames] == list(range(1, 61))
    assert producer.calls == 60


async def test_the_next_minute_continues_after_an_instance_was_killed(
    start_host: Callable[..., Host],
) -> None:
    first, second = start_host(), start_host(clock=TestClock(NOW + MINUTE))
    stuck = asyncio.Event()

    async def tick(previous: Frame | None, now: datetime) -> Data:
        if now == NOW + 20 * SECOND:
            stuck.set()
            await asyncio.Event().wait()
        return await count(previous, now)

    stream = make_stream(tick)
    async with listening(first, "ann", stream.group) as ann:
        minute = asyncio.create_task(first.executor.run_minute([stream]))
        await asyncio.wait_for(stuck.wait(), DEADLINE_SECONDS)
        minute.cancel()
        await second.executor.run_minute([stream])
        frames = await ann.receive_until(is_tick(119))

    ticks = [frame["tick"] - FIRST_TICK for frame in frames]
    assert ticks == [*range(20), *range(60, 120)]
    assert [frame["data"]["count"] for frame in frames] == list(range(1, 81))


async def test_a_subscriber_replaces_a_killed_run_when_its_lease_has_ended(
    start_host: Callable[..., Host],
) -> None:
    stream, caller = make_stream(), RecordingCaller()
    killed = start_host()
    async with listening(killed, "ann", stream.group):
        await killed.run_tick(stream, NOW)

        early = start_host(clock=TestClock(NOW + 2 * SECOND))
        await subscriber_runs_of(early, caller).start(stream)
        assert caller.calls == []

        late = start_host(clock=TestClock(NOW + 5 * SECOND))
        await subscriber_runs_of(late, caller).start(stream)
        assert len(caller.calls) == 1


async def test_a_slow_tick_at_the_end_of_a_minute_delays_no_other_stream(
    start_host: Callable[..., Host],
) -> None:
    clock = StreamClock()
    host = start_host(clock=clock, min_tick_timeout_seconds=2.5)

    async def hang(_previous: Frame | None, _now: datetime) -> Data:
        await asyncio.Event().wait()
        raise AssertionError

    slow, fast = make_stream(hang), make_stream()
    run, end = new_timer_run(clock.now()), clock.now() + 1.5 * SECOND
    async with listening(host, "ann", slow.group, fast.group) as ann:
        await asyncio.gather(*(host.executor.run(one, run, end) for one in (slow, fast)))
        last = (await host.store.read(fast)).tick
        frames = await ann.receive_until(lambda frame: frame["tick"] == last)

    ticks = [frame["tick"] for frame in frames]
    assert ticks == list(range(ticks[0], last + 1))
    assert last >= end.timestamp() + 0.5


# --- joining and leaving subscribers --------------------------------------------------------


async def test_a_run_ends_soon_after_the_last_subscriber_left(host: Host) -> None:
    producer = CountingProducer()
    stream = make_stream(producer.tick)
    async with listening(host, "ann", stream.group):
        await host.run_tick(stream, NOW)
    await wait_until_empty(host, stream.group)
    state = await host.store.read(stream)

    run = Run(2**40, "later")
    host.clock.time = NOW + SECOND  # type: ignore[attr-defined]
    assert await host.executor.claim(stream, run)
    outcome = await host.executor._tick_until(  # noqa: SLF001 - a run without subscribers
        stream, await host.store.read(stream), NOW + MINUTE
    )

    assert outcome is RunOutcome.NO_SUBSCRIBERS
    assert producer.calls <= 6
    assert (await host.store.read(stream)).run_id == ""
    assert state.run_id


async def test_a_subscriber_who_returns_within_the_minute_misses_no_later_tick(
    start_host: Callable[..., Host],
) -> None:
    """In real time: a client disconnects briefly, as when a page is reloaded."""
    clock = StreamClock()
    host, stream = start_host(clock=clock), make_stream()
    run, end = new_timer_run(clock.now()), clock.now() + 40 * SECOND
    async with listening(host, "ann", stream.group) as ann:
        running = asyncio.create_task(host.executor.run(stream, run, end))
        first = await ann.receive_frame()
    await wait_until_empty(host, stream.group)
    async with listening(host, "ann", stream.group) as ann:
        ticks = [(await ann.receive_frame())["tick"] for _ in range(9)]
        running.cancel()

    assert first["tick"] < ticks[0]
    assert ticks == list(range(ticks[0], ticks[0] + 9))


async def test_many_first_subscribers_start_one_run(start_host: Callable[..., Host]) -> None:
    stream, caller = make_stream(), RecordingCaller()
    runs = [subscriber_runs_of(start_host(), caller) for _ in range(2)]

    await asyncio.gather(*(runs[number % 2].start(stream) for number in range(30)))

    assert len(caller.calls) == 1


async def test_a_run_that_could_not_be_called_leaves_the_stream_to_the_next_one(
    host: Host,
) -> None:
    stream, caller = make_stream(), RecordingCaller(works=False)

    await subscriber_runs_of(host, caller).start(stream)

    assert len(caller.calls) == 1
    assert (await host.store.read(stream)).run_id == ""


async def test_a_subscribers_run_ticks_for_20_seconds_and_then_calls_itself(host: Host) -> None:
    host.clock.time = NOW + 10 * SECOND  # type: ignore[attr-defined]
    stream, caller = make_stream(), RecordingCaller()
    runs = subscriber_runs_of(host, caller)
    async with listening(host, "ann", stream.group) as ann:
        await runs.start(stream)
        while caller.calls:
            run_id, until = caller.calls.pop()
            await runs.continue_run(stream, run_id, until)
        frames = await ann.receive_until(is_tick(59))

    assert [frame["tick"] - FIRST_TICK for frame in frames] == list(range(10, 60))
    assert host.clock.now() <= NOW + MINUTE


async def test_a_run_lasts_until_the_timer_has_seen_the_subscriber(host: Host) -> None:
    host.clock.time = NOW + 59 * SECOND  # type: ignore[attr-defined]
    stream, caller = make_stream(), RecordingCaller()
    runs = subscriber_runs_of(host, caller)
    async with listening(host, "ann", stream.group):
        await runs.start(stream)
        await runs.continue_run(stream, *caller.calls.pop())

    assert caller.calls[0][1] == (NOW + 2 * MINUTE).timestamp()


async def test_the_timer_takes_over_from_a_subscribers_run(
    start_host: Callable[..., Host],
) -> None:
    web, timer = start_host(clock=TestClock(NOW + 50 * SECOND)), start_host()
    producer = CountingProducer()
    stream = make_stream(producer.tick)
    async with listening(web, "ann", stream.group) as ann:
        await web.executor.run(stream, new_subscriber_run(), NOW + MINUTE)
        timer.clock.time = NOW + MINUTE  # type: ignore[attr-defined]
        minute = asyncio.create_task(timer.executor.run_minute([stream]))
        state = await web.store.read(stream)
        late_run = Run(0, state.run_id.partition("-")[2])
        await web.executor.run(stream, late_run, NOW + 2 * MINUTE)
        await minute
        frames = await ann.receive_until(is_tick(119))

    assert [frame["tick"] - FIRST_TICK for frame in frames] == list(range(50, 120))
    assert producer.calls <= 72  # Both runs may call the producer for the tick of the takeover.


async def test_a_client_that_connects_to_the_app_receives_each_tick_from_the_start(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"{stack.url}/api/negotiate?groups=metrics") as response:
        url = (await response.json())["url"]
    async with http.ws_connect(url, protocols=["json.webpubsub.azure.v1"]) as socket:
        listener = Listener(socket)
        ticks = [(await listener.receive_frame())["tick"] for _ in range(4)]

    assert ticks == list(range(ticks[0], ticks[0] + 4))


@pytest.mark.parametrize("run_id", ["", "0-", "0-0123456789abcdef", "7-x"])
async def test_only_the_run_that_owns_a_stream_may_continue(host: Host, run_id: str) -> None:
    stream, caller = make_stream(), RecordingCaller()
    runs = subscriber_runs_of(host, caller)
    await runs.start(stream)

    with pytest.raises(ApiError) as raised:
        await runs.continue_run(stream, run_id, 0.0)

    assert raised.value.code == "forbidden"


# --- wrong clocks ---------------------------------------------------------------------------


@pytest.mark.parametrize("wrong_by", [-3600, -90, 90, 3600])
async def test_an_instance_with_a_wrong_clock_makes_the_same_ticks(
    start_host: Callable[..., Host], wrong_by: int
) -> None:
    """In real time, because the storage's date header corrects the clock."""
    wrong = start_host(clock=StreamClock(lambda: datetime.now(UTC) + wrong_by * SECOND))
    right = start_host(clock=StreamClock())
    stream = make_stream()
    await wrong.store.read(stream)  # the first response corrects the clock
    async with listening(right, "ann", stream.group) as ann:
        for turn in range(6):
            instance = (wrong, right)[turn % 2]
            now = instance.clock.now()
            await instance.executor.run(stream, Run(turn + 1, "turn"), now + SECOND)
        last = (await right.store.read(stream)).tick
        frames = await ann.receive_until(lambda frame: frame["tick"] == last)

    ticks = [frame["tick"] for frame in frames]
    assert ticks == sorted(set(ticks))
    assert len(ticks) >= 3
    assert abs(ticks[-1] - datetime.now(UTC).timestamp()) < 10


def test_a_small_difference_is_not_corrected() -> None:
    clock = StreamClock(lambda: NOW)

    clock.observe_date("Sat, 21 Nov 2026 10:00:01 GMT")
    assert clock.now() == NOW

    clock.observe_date("Sat, 21 Nov 2026 10:00:30 GMT")
    assert clock.now() == NOW + 30.5 * SECOND

    clock.observe_date("no date")
    clock.observe_date(None)
    assert clock.now() == NOW + 30.5 * SECOND
