"""Streams: who makes a tick, who hears it, and what is kept of it."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from azure.data.tables.aio import TableServiceClient
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient

from realtime.azure.tables import Table, Tables
from realtime.azure.web_pubsub import Hub, connect_hub
from realtime.messages import Frame
from realtime.ncrontab import shortest_interval
from realtime.settings import InvalidSettingsError, Settings
from realtime.streams.definition import Data, Stale, Stream, Tick, registry
from realtime.streams.runner import StreamRunner
from realtime.streams.status import read_latest, read_status
from realtime.streams.store import StreamStore
from realtime.streams.subscriptions import Subscriptions

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DEADLINE = 10


class CountedTables(Tables):
    """The real tables, and how often they were asked for one."""

    asked = 0

    def open(self, name: str) -> Table:
        self.asked += 1
        return super().open(name)


class Host:
    """One instance of the app: its own connections to the same storage and the same service."""

    def __init__(
        self,
        desk: Any,
        tables: str = "",
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        settings = Settings(
            tables_connection_string=tables or desk.tables_connection_string,
            webpubsub_connection_string=desk.webpubsub_connection_string,
            webpubsub_hub="streams",
        )
        self.storage = TableServiceClient.from_connection_string(settings.tables_connection_string)
        self.tables = CountedTables(self.storage)
        self.hub = connect_hub(settings)
        self.store = StreamStore(self.tables, clock=clock)
        self.runner = StreamRunner(self.store, self.hub, **options)
        self.subscriptions = Subscriptions(self.tables, self.hub)

    async def close(self) -> None:
        await self.tables.close()
        await self.hub.close()


@pytest.fixture
async def start(desk: Any) -> AsyncIterator[Callable[..., Host]]:
    """Start another host."""
    async with AsyncExitStack() as stack:

        def start(**options: Any) -> Host:
            host = Host(desk, **options)
            stack.push_async_callback(host.close)
            return host

        yield start


@pytest.fixture
def host(start: Callable[..., Host]) -> Host:
    return start()


class Listener:
    """A browser that hears some groups."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def frame(self) -> Data:
        async with asyncio.timeout(DEADLINE):
            while True:
                said: Data = await self._socket.receive_json()
                if said["type"] == "message":
                    frame: Data = said["data"]
                    return frame

    async def until(self, last: Callable[[Data], bool]) -> list[Data]:
        """Every frame up to one that is known to be the last."""
        heard = [await self.frame()]
        while not last(heard[-1]):
            heard.append(await self.frame())
        return heard


@asynccontextmanager
async def listening(host: Host, user: str, *groups: str) -> AsyncIterator[Listener]:
    ticket = await host.hub.get_client_access_token(user, groups, [])
    protocols = ["json.webpubsub.azure.v1"]
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(ticket.url, protocols=protocols) as socket,
    ):
        async with asyncio.timeout(DEADLINE):
            await socket.receive_json()  # "connected": from here on everything is heard
        yield Listener(socket)


async def deserted(host: Host, group: str) -> None:
    """The service has seen the last one leave."""
    async with asyncio.timeout(DEADLINE):
        while await host.hub.group_exists(group):
            pass


async def count(previous: Frame | None, _now: datetime) -> Data:
    """One more than the last time."""
    return {"count": previous.data["count"] + 1 if previous else 1}


def stream(tick: Tick = count, *, schedule: str = "* * * * * *", **more: Any) -> Stream:
    """A stream that no other test knows."""
    name = f"s{uuid.uuid4().hex[:8]}"
    return Stream(name, name.title(), f"g-{name}", "For a test.", schedule, "test", tick, **more)


def always(data: Data) -> Tick:
    async def tick(_previous: Frame | None, _now: datetime) -> Data:
        return data

    return tick


def in_turn(*answers: Data | Stale | Exception | None) -> Tick:
    """A producer that says these, one after the other, and then the last one for ever."""
    left = list(answers)

    async def tick(_previous: Frame | None, _now: datetime) -> Data | Stale | None:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return tick


# --- who hears a tick -----------------------------------------------------------------------


async def test_a_tick_reaches_everyone_who_listens(host: Host) -> None:
    ours = stream()
    async with listening(host, "ann", ours.group) as ann, listening(host, "bob", ours.group) as bob:
        await host.runner.run_tick(ours, NOW)

        heard = await ann.frame()
        assert heard == await bob.frame()

    assert heard == {
        "type": "test",
        "stream": ours.name,
        "tick": int(NOW.timestamp()),
        "timestamp": "2026-11-21T10:00:00.000Z",
        "stale": False,
        "full": True,
        "data": {"count": 1},
    }


async def test_a_stream_that_nobody_hears_does_not_ask_its_producer(host: Host) -> None:
    asked = 0

    async def tick(_previous: Frame | None, _now: datetime) -> Data:
        nonlocal asked
        asked += 1
        return {}

    quiet = stream(tick)
    for second in range(120):
        assert await host.runner.run_tick(quiet, NOW + second * SECOND) is None

    assert asked == 0
    assert await read_latest(host.store, quiet, datetime.now(UTC)) is None


async def test_the_first_viewer_after_silence_hears_the_very_next_tick_in_full(host: Host) -> None:
    ours = stream(always({"symbols": {"A": 1}}), deltas="symbols")
    async with listening(host, "ann", ours.group):
        await host.runner.run_tick(ours, NOW)
    await deserted(host, ours.group)

    assert await host.runner.run_tick(ours, NOW + SECOND) is None
    async with listening(host, "bob", ours.group) as bob:
        await host.runner.run_tick(ours, NOW + 2 * SECOND)
        heard = await bob.frame()

    assert heard["full"]
    assert heard["tick"] == ours.tick_at(NOW + 2 * SECOND)


# --- one tick, one frame --------------------------------------------------------------------


async def test_two_hosts_that_run_the_same_ticks_publish_each_once(
    start: Callable[..., Host],
) -> None:
    hosts, ours = [start(), start()], stream()
    async with listening(hosts[0], "ann", ours.group) as ann:
        for second in range(20):
            now = NOW + second * SECOND
            await asyncio.gather(*(host.runner.run_tick(ours, now) for host in hosts))
        heard = await ann.until(lambda frame: frame["tick"] == ours.tick_at(NOW) + 19)

    assert [frame["tick"] for frame in heard] == [ours.tick_at(NOW) + n for n in range(20)]
    assert [frame["data"]["count"] for frame in heard] == list(range(1, 21))


async def test_a_timer_that_fires_twice_publishes_once(host: Host) -> None:
    ours = stream()
    async with listening(host, "ann", ours.group) as ann:
        for moment in [NOW, NOW, NOW + 0.4 * SECOND, NOW + SECOND]:
            await host.runner.run_tick(ours, moment)
        await asyncio.gather(*(host.runner.run_tick(ours, NOW + 2 * SECOND) for _ in range(5)))
        heard = await ann.until(lambda frame: frame["tick"] == ours.tick_at(NOW) + 2)

    assert [frame["data"]["count"] for frame in heard] == [1, 2, 3]


def test_a_timer_that_fires_a_hair_early_means_the_tick_that_is_due() -> None:
    ours = stream()
    hair = 0.002 * SECOND

    assert ours.tick_at(NOW - hair) == ours.tick_at(NOW)
    assert ours.tick_at(NOW - 0.5 * SECOND) == ours.tick_at(NOW) - 1


async def test_hosts_that_take_turns_continue_from_each_other(start: Callable[..., Host]) -> None:
    hosts, ours = [start(), start()], stream()
    async with listening(hosts[0], "ann", ours.group) as ann:
        for second in range(6):
            await hosts[second % 2].runner.run_tick(ours, NOW + second * SECOND)
        heard = await ann.until(lambda frame: frame["tick"] == ours.tick_at(NOW) + 5)

    assert [frame["data"]["count"] for frame in heard] == [1, 2, 3, 4, 5, 6]


async def test_a_late_tick_is_left_out_and_not_made_up_for(host: Host) -> None:
    ours = stream()
    async with listening(host, "ann", ours.group) as ann:
        await host.runner.run_tick(ours, NOW)
        await host.runner.run_tick(ours, NOW + 10 * SECOND)
        await host.runner.run_tick(ours, NOW + 3 * SECOND)
        await host.runner.run_tick(ours, NOW + 11 * SECOND)
        heard = [await ann.frame() for _ in range(3)]

    assert [frame["tick"] - ours.tick_at(NOW) for frame in heard] == [0, 10, 11]


async def test_a_clock_that_was_wrong_does_not_silence_a_stream(start: Callable[..., Host]) -> None:
    astray, right, ours = start(), start(), stream()
    async with listening(right, "ann", ours.group) as ann:
        await astray.runner.run_tick(ours, NOW + timedelta(hours=1))
        await right.runner.run_tick(ours, NOW)
        heard = [await ann.frame() for _ in range(2)]

    assert heard[1]["tick"] == ours.tick_at(NOW)


async def test_a_stream_goes_on_when_its_row_has_been_deleted(host: Host) -> None:
    ours = stream()
    async with listening(host, "ann", ours.group) as ann:
        await host.runner.run_tick(ours, NOW)
        await host.tables.open("streams").delete_entity(ours.name, "latest")
        await host.runner.run_tick(ours, NOW + SECOND)
        heard = [await ann.frame() for _ in range(2)]

    assert heard[1]["tick"] == ours.tick_at(NOW) + 1


@pytest.mark.parametrize("frame", ["", "{}", "not json", '{"tick": "one"}'])
async def test_a_row_of_another_version_is_written_anew(host: Host, frame: str) -> None:
    ours = stream()
    table = host.tables.open("streams")
    await table.create_entity({"PartitionKey": ours.name, "RowKey": "latest", "frame": frame})

    assert await read_latest(host.store, ours, NOW) is None
    async with listening(host, "ann", ours.group) as ann:
        await host.runner.run_tick(ours, NOW)
        assert (await ann.frame())["data"] == {"count": 1}


async def test_a_stream_goes_on_when_its_schedule_is_changed(start: Callable[..., Host]) -> None:
    before, after = start(), start()
    ours = stream()
    slower = Stream(ours.name, "", ours.group, "", "*/5 * * * * *", "test", count)
    async with listening(before, "ann", ours.group) as ann:
        await before.runner.run_tick(ours, NOW)
        await after.runner.run_tick(slower, NOW + 5 * SECOND)
        heard = [await ann.frame() for _ in range(2)]

    assert [frame["data"]["count"] for frame in heard] == [1, 2]


@asynccontextmanager
async def losing_answers(connection_string: str) -> AsyncIterator[tuple[str, list[bytes]]]:
    """The storage behind a line that swallows the answer to whatever begins like one of these."""
    upstream = re.search(r"//([\d.a-z]+):(\d+)/", connection_string)
    assert upstream
    swallowed: list[bytes] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(upstream[1], int(upstream[2]))
        try:
            while asked := await reader.read(65_536):
                far_writer.write(asked)
                answer = await far_reader.read(65_536)
                if any(asked.startswith(begin) for begin in swallowed):
                    swallowed.clear()
                    return
                writer.write(answer)
        finally:
            far_writer.close()
            writer.close()

    async with await asyncio.start_server(relay, "127.0.0.1") as line:
        port = line.sockets[0].getsockname()[1]
        yield connection_string.replace(upstream[0], f"//127.0.0.1:{port}/"), swallowed


async def test_a_tick_whose_write_was_answered_into_the_void_is_still_published_once(
    desk: Any, start: Callable[..., Host]
) -> None:
    ours = stream()
    async with losing_answers(desk.tables_connection_string) as (tables, swallowed):
        host = start(tables=tables)
        async with listening(host, "ann", ours.group) as ann:
            await host.runner.run_tick(ours, NOW)
            swallowed.append(b"PUT")
            for second in range(1, 4):
                await host.runner.run_tick(ours, NOW + second * SECOND)
            heard = await ann.until(lambda frame: frame["tick"] == ours.tick_at(NOW) + 3)
        await host.close()

    assert swallowed == []
    assert [frame["data"]["count"] for frame in heard] == [1, 2, 3, 4]


# --- deltas ---------------------------------------------------------------------------------


def prices(**symbols: Any) -> Data:
    return {"source": "test", "symbols": symbols}


async def test_a_delta_has_only_what_has_changed_and_the_kept_frame_has_all(host: Host) -> None:
    ours = stream(in_turn(prices(A=1, B=1), prices(A=1, B=2)), deltas="symbols", full_every=1000)
    async with listening(host, "ann", ours.group) as ann:
        await host.runner.run_tick(ours, NOW + SECOND)
        await host.runner.run_tick(ours, NOW + 2 * SECOND)
        first, second = await ann.frame(), await ann.frame()

    assert (first["full"], first["data"]) == (True, prices(A=1, B=1))
    assert (second["full"], second["data"]) == (False, prices(B=2))
    latest = await read_latest(host.store, ours, datetime.now(UTC))
    assert latest is not None
    assert (latest.full, latest.data) == (True, prices(A=1, B=2))


async def test_deltas_merged_over_full_frames_are_what_the_producer_said(host: Host) -> None:
    said = [prices(A=n // 2, B=n // 3, C=n // 7) for n in range(25)]
    ours = stream(in_turn(*said), deltas="symbols")
    async with listening(host, "ann", ours.group) as ann:
        for second in range(25):
            await host.runner.run_tick(ours, NOW + second * SECOND)
        heard = await ann.until(lambda frame: frame["tick"] == ours.tick_at(NOW) + 24)

    merged: Data = {}
    for frame in heard:
        symbols = frame["data"]["symbols"]
        merged = symbols if frame["full"] else {**merged, **symbols}
        assert merged == said[frame["tick"] - ours.tick_at(NOW)]["symbols"]
    assert [frame["full"] for frame in heard].count(True) == 3


async def test_where_nothing_has_changed_only_the_full_frames_go_out(host: Host) -> None:
    aging = in_turn(*(prices(A={"price": 1, "age_seconds": n}) for n in range(21)))
    ours = stream(aging, deltas="symbols", full_every=10)
    async with listening(host, "ann", ours.group) as ann:
        for second in range(21):
            await host.runner.run_tick(ours, NOW + second * SECOND)
        heard = await ann.until(lambda frame: frame["tick"] == ours.tick_at(NOW) + 20)

    assert [frame["tick"] - ours.tick_at(NOW) for frame in heard] == [0, 10, 20]
    assert all(frame["full"] for frame in heard)


async def test_an_entry_that_comes_or_goes_makes_a_full_frame(host: Host) -> None:
    ours = stream(in_turn(prices(A=1, B=1), prices(A=1)), deltas="symbols", full_every=1000)
    async with listening(host, "ann", ours.group) as ann:
        await host.runner.run_tick(ours, NOW + SECOND)
        await host.runner.run_tick(ours, NOW + 2 * SECOND)
        await ann.frame()
        second = await ann.frame()

    assert (second["full"], second["data"]) == (True, prices(A=1))


async def test_values_that_turn_stale_are_told_at_once_though_they_have_not_changed(
    host: Host,
) -> None:
    same = prices(A=1)
    ours = stream(in_turn(same, Stale(same, "down"), same), deltas="symbols", full_every=1000)
    async with listening(host, "ann", ours.group) as ann:
        for second in range(1, 4):
            await host.runner.run_tick(ours, NOW + second * SECOND)
        heard = [await ann.frame() for _ in range(3)]

    assert [frame["stale"] for frame in heard] == [False, True, False]
    assert all(frame["full"] for frame in heard)


# --- failures -------------------------------------------------------------------------------


class DeafHub(Hub):
    """The real service, which at times does not take what is published."""

    deaf = False

    async def send_to_group(self, group: str, message: Any) -> None:
        if self.deaf:
            raise ConnectionError
        await super().send_to_group(group, message)


@pytest.fixture
async def deaf(desk: Any) -> AsyncIterator[DeafHub]:
    client = WebPubSubServiceClient.from_connection_string(
        desk.webpubsub_connection_string, hub="streams"
    )
    async with client:
        yield DeafHub(client, "streams", "", [])


@pytest.mark.parametrize("failure", [RuntimeError("s3cret"), Stale({"count": 1}, "a reason")])
async def test_a_failing_producer_leaves_its_last_values_marked_stale(
    host: Host, failure: Stale | Exception
) -> None:
    ours = stream(in_turn({"count": 1}, failure))
    async with listening(host, "ann", ours.group) as ann:
        await host.runner.run_tick(ours, NOW)
        await host.runner.run_tick(ours, NOW + SECOND)
        heard = [await ann.frame() for _ in range(2)]

    assert [frame["stale"] for frame in heard] == [False, True]
    assert heard[1]["data"] == {"count": 1}


async def test_a_hanging_producer_is_cut_off_and_touches_no_other_stream(
    start: Callable[..., Host],
) -> None:
    async def hang(_previous: Frame | None, _now: datetime) -> Data:
        await asyncio.Event().wait()
        raise AssertionError

    host, hanging, ours = start(min_tick_timeout_seconds=1), stream(hang), stream()
    async with listening(host, "ann", ours.group, hanging.group) as ann:
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(
                host.runner.run_tick(hanging, NOW),
                host.runner.run_tick(ours, NOW),
            )
        assert (await ann.frame())["stream"] == ours.name


async def test_one_line_is_logged_when_a_stream_begins_to_fail_and_one_when_it_works_again(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    failing = RuntimeError("s3cret")
    ours = stream(in_turn({"n": 1}, failing, failing, failing, {"n": 2}, {"n": 3}, failing))
    caplog.set_level(logging.INFO, "realtime")

    async with listening(host, "ann", ours.group):
        for second in range(8):
            await host.runner.run_tick(ours, NOW + second * SECOND)

    lines = [one.getMessage() for one in caplog.records if one.name.startswith("realtime")]
    assert len(lines) == 3
    assert lines[0].startswith(f"The stream {ours.name} fails: RuntimeError in test_streams.py")
    assert lines[1] == f"The stream {ours.name} works again."
    assert "s3cret" not in caplog.text


async def test_a_service_that_does_not_take_what_is_published_is_logged_once(
    host: Host, deaf: DeafHub, caplog: pytest.LogCaptureFixture
) -> None:
    ours, runner = stream(), StreamRunner(host.store, deaf)
    caplog.set_level(logging.INFO, "realtime")

    async with listening(host, "ann", ours.group):
        for second in range(10):
            deaf.deaf = 2 <= second < 8
            await runner.run_tick(ours, NOW + second * SECOND)

    lines = [one.getMessage() for one in caplog.records if one.name.startswith("realtime")]
    assert len(lines) == 2
    assert lines[1] == f"The stream {ours.name} works again."


@pytest.mark.parametrize("data", [{"a": object()}, ["a list"], "text", {"text": "x" * 40_000}])
async def test_data_that_is_no_json_object_or_too_large_is_never_sent(
    host: Host, caplog: pytest.LogCaptureFixture, data: Any
) -> None:
    ours = stream(in_turn({"n": 1}, data, {"n": 2}))
    async with listening(host, "ann", ours.group) as ann:
        for second in range(3):
            await host.runner.run_tick(ours, NOW + second * SECOND)
        heard = await ann.until(lambda frame: frame["tick"] == ours.tick_at(NOW) + 2)

    assert {frame["data"]["n"] for frame in heard} == {1, 2}
    assert f"The stream {ours.name} fails" in caplog.text


async def test_what_is_sent_and_what_is_kept_are_the_same_json(host: Host) -> None:
    ours = stream(always({"nan": float("nan"), "pair": (1, 2), "at": NOW}))
    async with listening(host, "ann", ours.group) as ann:
        await host.runner.run_tick(ours, NOW)
        heard = await ann.frame()

    latest = await read_latest(host.store, ours, NOW)
    assert latest is not None
    assert heard["data"] == {"nan": None, "pair": [1, 2], "at": "2026-11-21T10:00:00Z"}
    assert latest.data == heard["data"]


async def test_a_producer_may_change_the_frame_that_it_is_given(host: Host) -> None:
    async def tick(previous: Frame | None, _now: datetime) -> Data:
        data = previous.data if previous else prices(A=0, B=0)
        data["symbols"]["A"] += 1
        return data

    ours = stream(tick, deltas="symbols", full_every=1000)
    async with listening(host, "ann", ours.group) as ann:
        for second in range(1, 4):
            await host.runner.run_tick(ours, NOW + second * SECOND)
        heard = [await ann.frame() for _ in range(3)]

    assert [frame["data"]["symbols"] for frame in heard] == [{"A": 1, "B": 0}, {"A": 2}, {"A": 3}]


async def test_a_producer_with_nothing_to_say_publishes_nothing(host: Host) -> None:
    ours = stream(in_turn({"n": 1}, None, {"n": 2}))
    async with listening(host, "ann", ours.group) as ann:
        for second in range(3):
            await host.runner.run_tick(ours, NOW + second * SECOND)
        heard = [await ann.frame() for _ in range(2)]

    assert [frame["data"]["n"] for frame in heard] == [1, 2]


async def test_what_could_not_be_published_comes_in_full_with_the_next_tick(
    host: Host, deaf: DeafHub
) -> None:
    steps = in_turn(prices(A=1, B=1), prices(A=2, B=1), prices(A=2, B=2))
    ours = stream(steps, deltas="symbols", full_every=1000)
    runner = StreamRunner(host.store, deaf)
    async with listening(host, "ann", ours.group) as ann:
        await runner.run_tick(ours, NOW + SECOND)
        deaf.deaf = True
        await runner.run_tick(ours, NOW + 2 * SECOND)
        deaf.deaf = False
        await runner.run_tick(ours, NOW + 3 * SECOND)
        heard = [await ann.frame() for _ in range(2)]

    assert heard[1]["full"]
    assert heard[1]["data"] == prices(A=2, B=2)


# --- the last frame, and how a stream is ----------------------------------------------------


async def test_many_callers_at_once_share_one_read_of_the_last_frame(
    start: Callable[..., Host],
) -> None:
    now = 100.0
    writer, reader, ours = start(), start(clock=lambda: now), stream(schedule="*/4 * * * * *")
    async with listening(writer, "ann", ours.group):
        await writer.runner.run_tick(ours, NOW)

    frames = await asyncio.gather(*(read_latest(reader.store, ours, NOW) for _ in range(50)))
    assert all(frame and frame.data == {"count": 1} for frame in frames)
    assert reader.tables.asked == 1

    now += 3.9
    await read_latest(reader.store, ours, datetime.now(UTC))
    assert reader.tables.asked == 1

    now += 0.2
    await read_latest(reader.store, ours, datetime.now(UTC))
    assert reader.tables.asked == 2


async def test_a_read_that_failed_is_tried_again_by_the_next_caller(host: Host) -> None:
    class Broken(Tables):
        """The real tables, of which the first asking fails."""

        failures = 1

        def open(self, name: str) -> Table:
            if self.failures:
                self.failures -= 1
                raise ConnectionError
            return super().open(name)

    ours = stream()
    store = StreamStore(Broken(host.storage))

    with pytest.raises(ConnectionError):
        await read_latest(store, ours, NOW)

    assert await read_latest(store, ours, NOW) is None


async def test_a_stream_that_never_spoke_is_not_active(host: Host) -> None:
    status = await read_status(host.store, stream(), NOW)

    assert (status.active, status.stale) == (False, True)
    assert (status.last_tick, status.age_seconds, status.latest) == (None, None, None)


async def test_a_stream_is_active_while_its_ticks_are_on_time(host: Host) -> None:
    ours = stream()
    async with listening(host, "ann", ours.group):
        await host.runner.run_tick(ours, NOW)

    now = await read_status(host.store, ours, NOW + SECOND)
    later = await read_status(host.store, ours, NOW + 60 * SECOND)

    assert (now.active, now.stale, now.age_seconds) == (True, False, 1.0)
    assert (later.active, later.stale, later.age_seconds) == (False, True, 60.0)
    assert now.interval_seconds == 1
    assert now.last_tick == ours.tick_at(NOW)
    assert now.latest is not None
    assert now.latest.data == {"count": 1}


async def test_a_frame_from_before_a_pause_is_handed_out_marked_stale(host: Host) -> None:
    ours = stream()
    async with listening(host, "ann", ours.group):
        await host.runner.run_tick(ours, NOW)

    fresh = await read_latest(host.store, ours, NOW + SECOND)
    old = await read_latest(host.store, ours, NOW + 3600 * SECOND)

    assert fresh is not None
    assert old is not None
    assert (fresh.stale, old.stale) == (False, True)
    assert old.data == fresh.data


async def test_a_failing_stream_is_active_and_says_that_it_is_stale(host: Host) -> None:
    ours = stream(in_turn({"n": 1}, RuntimeError()))
    async with listening(host, "ann", ours.group):
        await host.runner.run_tick(ours, NOW)
        await host.runner.run_tick(ours, NOW + SECOND)

    status = await read_status(host.store, ours, NOW + SECOND)

    assert (status.active, status.stale) == (True, True)


# --- subscriptions --------------------------------------------------------------------------


@pytest.fixture
def listed() -> Iterator[Stream]:
    """A stream that is in the registry, as those of the producers are."""
    ours = stream()
    registry.register(ours)
    yield ours
    registry.unregister(ours.name)


async def test_whoever_subscribes_hears_it_on_every_present_connection(
    host: Host, listed: Stream
) -> None:
    ann = f"ann-{listed.name}"
    async with listening(host, ann) as phone, listening(host, ann) as desktop:
        await host.subscriptions.add(ann, listed)
        await host.runner.run_tick(listed, NOW)

        assert await phone.frame() == await desktop.frame()


async def test_a_subscription_is_kept_for_later_connections_until_it_is_ended(
    start: Callable[..., Host], listed: Stream
) -> None:
    ann, bob = f"ann-{listed.name}", f"bob-{listed.name}"
    await start().subscriptions.add(ann, listed)

    host = start()
    assert await host.subscriptions.list_groups(ann) == [listed.group]
    assert await host.subscriptions.list_groups(bob) == []

    await host.subscriptions.remove(ann, listed)
    assert await host.subscriptions.list_groups(ann) == []


async def test_whoever_unsubscribes_hears_no_more_of_it(host: Host, listed: Stream) -> None:
    ann = f"ann-{listed.name}"
    async with (
        listening(host, ann, listed.group) as gone,
        listening(host, "bob", listed.group) as bob,
    ):
        await host.subscriptions.add(ann, listed)
        await host.subscriptions.remove(ann, listed)
        await host.runner.run_tick(listed, NOW)
        await bob.frame()
        await host.hub.send_to_user(ann, {"type": "test", "last": True})

        assert await gone.frame() == {"type": "test", "last": True}


async def test_both_subscribing_and_unsubscribing_twice_are_fine(
    host: Host, listed: Stream
) -> None:
    for _ in range(2):
        await host.subscriptions.add("ann", listed)
    for _ in range(2):
        await host.subscriptions.remove("ann", listed)

    assert await host.subscriptions.list_groups("ann") == []


async def test_a_subscription_to_a_stream_that_is_no_more_is_passed_over(host: Host) -> None:
    ann, gone = f"ann-{uuid.uuid4().hex}", stream()
    await host.subscriptions.add(ann, gone)

    assert await host.subscriptions.list_groups(ann) == []


# --- what a stream may be -------------------------------------------------------------------


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
def test_a_schedule_that_is_none_is_refused_by_name(schedule: str) -> None:
    with pytest.raises(InvalidSettingsError, match="is not NCRONTAB"):
        shortest_interval(schedule)


@pytest.mark.parametrize("name", ["", "Moon", "the_moon", "the moon", "1st", "a" * 65])
def test_a_streams_name_must_make_a_functions_name(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Stream(name, "", "group", "", "* * * * * *", "test", count)


@pytest.mark.parametrize("group", ["", "room.lobby", "a b", "a'b"])
def test_a_streams_group_is_never_a_rooms(group: str) -> None:
    with pytest.raises(ValueError, match="group"):
        Stream("name", "", group, "", "* * * * * *", "test", count)


def test_two_streams_cannot_share_a_name_or_a_group(listed: Stream) -> None:
    twin = Stream("another", "", listed.group, "", "* * * * * *", "test", count)

    with pytest.raises(ValueError, match="already"):
        registry.register(twin)
