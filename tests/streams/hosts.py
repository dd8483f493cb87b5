"""Instances that run streams inside a test, and clients that receive the frames."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from azure.data.tables.aio import TableServiceClient

from realtime.azure.tables import Tables, connect_tables
from realtime.azure.web_pubsub import Hub, connect_hub
from realtime.messages import Frame
from realtime.settings import Settings
from realtime.streams.clock import StreamClock
from realtime.streams.definition import Data, Stale, Stream, StreamInfo, Tick, registry
from realtime.streams.executor import RunOutcome, StreamExecutor
from realtime.streams.history import StreamHistory
from realtime.streams.pushed import PushedStreams
from realtime.streams.runner import StreamRunner
from realtime.streams.runs import Run
from realtime.streams.store import StreamStore
from realtime.streams.subscriptions import Subscriptions

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DEADLINE_SECONDS = 30


class CountingTables(Tables):
    """The real tables, with a count of opened tables."""

    opened = 0

    @property
    def service(self) -> TableServiceClient:
        return self._service

    def open(self, name: str) -> Any:
        self.opened += 1
        return super().open(name)


class TestClock(StreamClock):
    """A clock that only a sleep moves, without waiting."""

    __test__ = False

    def __init__(self, start: datetime = NOW) -> None:
        self.time = start
        super().__init__(lambda: self.time)

    async def sleep_until(self, moment: datetime) -> None:
        self.time = max(self.time, moment)
        await asyncio.sleep(0)


class Host:
    """One instance of the app, with its own connections to the storage and service of the stack."""

    def __init__(
        self,
        stack: Any,
        tables: str = "",
        monotonic: Callable[[], float] = time.monotonic,
        clock: StreamClock | None = None,
        hub: Hub | None = None,
        **options: Any,
    ) -> None:
        settings = Settings(
            tables_connection_string=tables or stack.tables_connection_string,
            webpubsub_connection_string=stack.webpubsub_connection_string,
            webpubsub_hub="streams",
        )
        connected = connect_tables(settings)
        self.tables = CountingTables(connected._service)  # noqa: SLF001 - to count its use
        self.hub = hub or connect_hub(settings)
        self.clock = clock or TestClock()
        # The date header of the storage does not correct a test's clock.
        corrected = None if isinstance(self.clock, TestClock) else self.clock
        self.store = StreamStore(self.tables, monotonic=monotonic, clock=corrected)
        self.runner = StreamRunner(self.store, self.hub, **options)
        self.executor = StreamExecutor(self.store, self.hub, self.runner, self.clock)
        self.history = StreamHistory(self.store)
        self.pushed = PushedStreams(self.store, self.hub)
        self.subscriptions = Subscriptions(self.tables, self.hub, self._list_streams)

    async def _list_streams(self) -> dict[str, StreamInfo]:
        return {**registry, **await self.pushed.list_streams()}

    async def run_tick(self, stream: Stream, now: datetime) -> RunOutcome:
        """Run the tick of a moment as a new run, which may replace earlier runs."""
        clock = TestClock(now)
        executor = StreamExecutor(self.store, self.hub, self.runner, clock)
        run = Run(round(now.timestamp() * 10), uuid.uuid4().hex)
        end = now + timedelta(seconds=0.1)
        try:
            return await executor.run(stream, run, end)
        except Exception as error:  # noqa: BLE001 - as run_minute does
            self.runner.log_state(stream, type(error).__name__)
            return RunOutcome.FINISHED

    async def close(self) -> None:
        await self.tables.close()
        await self.hub.close()


class Listener:
    """A client that receives the frames of some groups."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def receive_frame(self) -> Data:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                message: Data = await self._socket.receive_json()
                if message["type"] == "message":
                    frame: Data = message["data"]
                    return frame

    async def receive_until(self, is_last: Callable[[Data], bool]) -> list[Data]:
        """Return every frame up to the first that `is_last` accepts."""
        frames = [await self.receive_frame()]
        while not is_last(frames[-1]):
            frames.append(await self.receive_frame())
        return frames


@asynccontextmanager
async def listening(host: Host, user: str, *groups: str) -> AsyncIterator[Listener]:
    token = await host.hub.get_client_access_token(user, groups, [])
    protocols = ["json.webpubsub.azure.v1"]
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(token.url, protocols=protocols) as socket,
    ):
        async with asyncio.timeout(DEADLINE_SECONDS):
            await socket.receive_json()  # "connected": the groups are joined
        yield Listener(socket)


async def wait_until_empty(host: Host, group: str) -> None:
    """Wait until the service reports that the group has no connections."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await host.hub.group_exists(group):  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.02)


async def count(previous: Frame | None, _now: datetime) -> Data:
    """A producer that counts its ticks."""
    return {"count": previous.data["count"] + 1 if previous else 1}


def make_stream(tick: Tick = count, *, schedule: str = "* * * * * *", **more: Any) -> Stream:
    """A stream that no other test uses."""
    name = f"s{uuid.uuid4().hex[:8]}"
    return Stream(name, name.title(), f"g-{name}", "For a test.", schedule, "test", tick, **more)


def always(data: Data) -> Tick:
    async def tick(_previous: Frame | None, _now: datetime) -> Data:
        return data

    return tick


def sequence_of(*results: Data | Stale | Exception | None) -> Tick:
    """A producer that returns these results in order, then repeats the last one."""
    remaining = list(results)

    async def tick(_previous: Frame | None, _now: datetime) -> Data | Stale | None:
        result = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        if isinstance(result, Exception):
            raise result
        return result

    return tick


def prices(**symbols: Any) -> Data:
    return {"source": "test", "symbols": symbols}


@asynccontextmanager
async def start_hosts(stack: Any) -> AsyncIterator[Callable[..., Host]]:
    """A function that starts instances; all are closed at the end."""
    async with AsyncExitStack() as exit_stack:

        def start(**options: Any) -> Host:
            host = Host(stack, **options)
            exit_stack.push_async_callback(host.close)
            return host

        yield start
