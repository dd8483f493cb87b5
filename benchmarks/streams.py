"""The cost of a tick of each stream, and the punctuality of a 1 Hz stream at a client."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from azure.data.tables.aio import TableServiceClient
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient

from benchmarks.servers import SETTINGS
from benchmarks.table import Row
from local.parts import Ports, Stack, start_stack
from producers import metrics, stocks, weather
from realtime.azure.operations import Operation
from realtime.azure.service_client import connect_with_key
from realtime.azure.tables import Tables
from realtime.azure.transport import make_transport
from realtime.azure.web_pubsub import Hub
from realtime.messages import Frame
from realtime.providers.open_meteo import OpenMeteo
from realtime.providers.simulator import KNOWN_PRICES
from realtime.providers.weather_reports import parse_cities
from realtime.streams.clock import StreamClock
from realtime.streams.definition import Data, Stream, Tick
from realtime.streams.executor import StreamExecutor
from realtime.streams.runner import StreamRunner
from realtime.streams.store import StreamStore
from tests import provider

IDLE_MINUTES = 200
BUSY_MINUTES = 4
SECONDS = 75
"""Long enough for a subscriber's run, its handover to the timer, and the timer's next minute."""

MAX_DELAY_SECONDS = 0.5
"""A frame of a 1 Hz stream that arrives later than this counts as late."""

EVERY_SECOND = {"METRICS_SCHEDULE": "* * * * * *"}
"""The metrics, since each of their ticks is published; unchanged stock prices are not."""


async def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        stack = start_stack(
            Ports.free(), Path(folder), keep=False, settings=SETTINGS | EVERY_SECOND
        )
        try:
            stack.wait()
            return [*await punctuality(stack), *await costs(stack)]
        finally:
            stack.stop()


# --- punctuality ------------------------------------------------------------------------------


async def punctuality(stack: Stack) -> list[Row]:
    """The system metrics of the running app, as its first subscriber receives them."""
    received: list[tuple[int, float]] = []
    async with listening(stack, "townsquare", "metrics") as socket:
        await frame_of(socket)  # The first one may be of the tick before.
        while len(received) < SECONDS:
            frame = await frame_of(socket)
            received.append((frame["tick"], time.time()))
    ticks = [tick for tick, _ in received]
    delays = [1000 * (at - tick) for tick, at in received]
    what = f"1 Hz stream, {SECONDS} s"
    return [
        Row(f"{what}: ticks missed", ticks[-1] - ticks[0] + 1 - len(set(ticks)), ""),
        Row(f"{what}: ticks received twice", len(ticks) - len(set(ticks)), ""),
        Row(f"{what}: ticks late", sum(delay > 1000 * MAX_DELAY_SECONDS for delay in delays), ""),
        Row(f"{what}: after the second, p50", statistics.median(delays), "ms"),
        Row(f"{what}: after the second, p99", percentile(delays, 0.99), "ms"),
    ]


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


# --- cost -------------------------------------------------------------------------------------


@dataclass
class Calls:
    """Requests to the storage and to the service."""

    total: int = 0

    def stored(self, _request: Any) -> None:
        self.total += 1


class CountedTables(Tables):
    """Counts the transactions and point reads, which do not go through the SDK."""

    def __init__(self, service: TableServiceClient, calls: Calls) -> None:
        super().__init__(service)
        self._calls = calls
        submit = self._transactions.submit

        async def counted(table: str, operations: Sequence[Operation]) -> list[str]:
            calls.total += 1
            return await submit(table, operations)

        self._transactions.submit = counted  # type: ignore[method-assign]
        read = self._reader.read

        async def counted_read(table: str, partition_key: str, row_key: str, **options: Any) -> Any:
            calls.total += 1
            return await read(table, partition_key, row_key, **options)

        self._reader.read = counted_read  # type: ignore[method-assign]


class CountedHub(Hub):
    def __init__(self, service: WebPubSubServiceClient, calls: Calls) -> None:
        super().__init__(service, "benchmark", "", [])
        self._calls = calls

    async def send_to_group(self, group: str, message: Any) -> None:
        self._calls.total += 1
        await super().send_to_group(group, message)

    async def group_exists(self, group: str) -> bool:
        self._calls.total += 1
        return await super().group_exists(group)


async def costs(stack: Stack) -> list[Row]:
    """Minutes of the timer, one right after the other: the clock does not wait."""
    async with provider.serve_provider() as sky, httpx.AsyncClient() as client:
        sky.responders = {"/v1/forecast": provider.open_meteo, "/v1/search": provider.geocoding}
        source = OpenMeteo(client, sky.base, sky.base)
        reports = weather.WeatherReports(source, parse_cities("London,Berlin,New York"))
        return [
            row
            for name, tick in [
                ("stock prices", simulated),
                ("system metrics", metrics.tick),
                ("weather, provider included", reports.tick),
            ]
            for row in await cost(stack, name, tick)
        ]


async def simulated(previous: Frame | None, now: datetime) -> Data:
    return stocks.simulate(list(KNOWN_PRICES), previous, int(now.timestamp()), now)


async def cost(stack: Stack, name: str, tick: Tick) -> list[Row]:
    one = f"b{time.time_ns()}"
    stream = Stream(one, name, one, "", "* * * * * *", "benchmark", tick)
    calls = Calls()
    async with (
        TableServiceClient.from_connection_string(
            stack.tables_connection_string,
            transport=make_transport("http://127.0.0.1"),
            raw_request_hook=calls.stored,
        ) as storage,
        connect_with_key(stack.webpubsub_connection_string, "benchmark") as service,
    ):
        clock = FastClock()
        tables, hub = CountedTables(storage, calls), CountedHub(service, calls)
        store = StreamStore(tables)
        executor = StreamExecutor(store, hub, StreamRunner(store, hub), clock)
        idle = await run_minutes(executor, stream, clock, calls, count=IDLE_MINUTES, ticks=1)
        async with listening(stack, "benchmark", stream.group):
            busy = await run_minutes(executor, stream, clock, calls, count=BUSY_MINUTES, ticks=60)
        await tables.close()
    return [
        Row(f"{name}, no subscribers: processor a minute", idle.processor, "ms"),
        Row(f"{name}, no subscribers: calls a minute", idle.calls, ""),
        Row(f"{name}, a tick with subscribers: processor", busy.processor, "ms"),
        Row(f"{name}, a tick with subscribers: duration", busy.duration, "ms"),
        Row(f"{name}, a tick with subscribers: calls", busy.calls, ""),
    ]


class FastClock(StreamClock):
    """A clock that a sleep moves forward at once."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC).replace(second=0, microsecond=0)
        super().__init__(lambda: self.time)

    async def sleep_until(self, moment: datetime) -> None:
        self.time = max(self.time, moment)


@dataclass(frozen=True)
class Cost:
    """Of one tick: milliseconds of this process and of the clock, and requests."""

    processor: float
    duration: float
    calls: float


async def run_minutes(
    executor: StreamExecutor,
    stream: Stream,
    clock: FastClock,
    calls: Calls,
    *,
    count: int,
    ticks: int,
) -> Cost:
    """The cost of one of the `ticks` that each of so many minutes has."""
    before = calls.total
    processor, started = time.process_time(), time.monotonic()
    for _ in range(count):
        clock.time = clock.time.replace(second=0, microsecond=0) + timedelta(minutes=1)
        await executor.run_minute([stream])
    return Cost(
        1000 * (time.process_time() - processor) / count / ticks,
        1000 * (time.monotonic() - started) / count / ticks,
        (calls.total - before) / count / ticks,
    )


# --- a client ---------------------------------------------------------------------------------


@asynccontextmanager
async def listening(
    stack: Stack, hub: str, group: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        WebPubSubServiceClient.from_connection_string(
            stack.webpubsub_connection_string, hub=hub
        ) as service,
        aiohttp.ClientSession() as session,
    ):
        token = await service.get_client_access_token(user_id="ann", groups=[group])
        async with session.ws_connect(
            token["url"], protocols=["json.webpubsub.azure.v1"]
        ) as socket:
            await socket.receive_json()  # "connected"
            yield socket


async def frame_of(socket: aiohttp.ClientWebSocketResponse) -> Data:
    async with asyncio.timeout(10):
        while True:
            message: Data = await socket.receive_json()
            if message["type"] == "message" and message["from"] == "group":
                frame: Data = message["data"]
                return frame
