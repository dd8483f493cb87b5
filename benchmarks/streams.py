"""What a tick of each stream costs, and how punctual the second is that a browser sees."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
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
from local.parts import Desk, Ports, start_desk
from producers import metrics, stocks, weather
from realtime.azure.tables import Tables
from realtime.azure.web_pubsub import Hub
from realtime.messages import Frame
from realtime.providers.open_meteo import OpenMeteo
from realtime.providers.simulator import KNOWN_PRICES
from realtime.providers.weather_reports import parse_cities
from realtime.streams.definition import Data, Stream, Tick
from realtime.streams.runner import StreamRunner
from realtime.streams.store import StreamStore
from tests import provider

TICKS = 200
SECONDS = 30
LATE = 0.5
"""Seconds after which a frame of a 1 Hz stream counts as late."""

EVERY_SECOND = {"METRICS_SCHEDULE": "* * * * * *"}
"""The metrics, since every tick of theirs is sent: stock prices rest where none has changed."""


async def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        desk = start_desk(Ports.free(), Path(folder), keep=False, settings=SETTINGS | EVERY_SECOND)
        try:
            desk.wait()
            return [*await punctuality(desk), *await costs(desk)]
        finally:
            desk.stop()


# --- one second after the other ---------------------------------------------------------------


async def punctuality(desk: Desk) -> list[Row]:
    """The system metrics of the running app, as a browser hears them."""
    heard: list[tuple[int, float]] = []
    async with listening(desk, "townsquare", "metrics") as socket:
        await frame_of(socket)  # the first is not counted: it may come right after the start
        while len(heard) < SECONDS:
            frame = await frame_of(socket)
            heard.append((frame["tick"], time.time()))
    ticks = [tick for tick, _ in heard]
    delays = [1000 * (at - tick) for tick, at in heard]
    what = f"1 Hz stream, {SECONDS} s"
    return [
        Row(f"{what}: ticks missed", ticks[-1] - ticks[0] + 1 - len(set(ticks)), ""),
        Row(f"{what}: ticks heard twice", len(ticks) - len(set(ticks)), ""),
        Row(f"{what}: ticks late", sum(delay > 1000 * LATE for delay in delays), ""),
        Row(f"{what}: after the second, p50", statistics.median(delays), "ms"),
        Row(f"{what}: after the second, p99", percentile(delays, 0.99), "ms"),
    ]


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


# --- what a tick costs ------------------------------------------------------------------------


@dataclass
class Calls:
    """Requests to the storage and to the service."""

    storage: int = 0
    service: int = 0

    def stored(self, _request: Any) -> None:
        self.storage += 1

    def served(self, _request: Any) -> None:
        self.service += 1


async def costs(desk: Desk) -> list[Row]:
    """Ticks one right after the other, of moments to come."""
    async with provider.serving() as sky, httpx.AsyncClient() as client:
        sky.answers = {"/v1/forecast": provider.open_meteo, "/v1/search": provider.geocoding}
        source = OpenMeteo(client, sky.base, sky.base)
        reports = weather.WeatherReports(source, parse_cities("London,Berlin,New York"))
        return [
            row
            for name, tick in [
                ("stock prices", simulated),
                ("system metrics", metrics.tick),
                ("weather, provider included", reports.tick),
            ]
            for row in await cost(desk, name, tick)
        ]


async def simulated(previous: Frame | None, now: datetime) -> Data:
    return stocks.simulate(list(KNOWN_PRICES), previous, int(now.timestamp()), now)


async def cost(desk: Desk, name: str, tick: Tick) -> list[Row]:
    one = f"b{time.time_ns()}"
    stream = Stream(one, name, one, "", "0 * * * * *", "benchmark", tick)
    calls = Calls()
    async with (
        TableServiceClient.from_connection_string(
            desk.tables_connection_string, raw_request_hook=calls.stored
        ) as storage,
        WebPubSubServiceClient.from_connection_string(
            desk.webpubsub_connection_string, hub="benchmark", raw_request_hook=calls.served
        ) as service,
    ):
        runner = StreamRunner(StreamStore(Tables(storage)), Hub(service, "benchmark", "", []))
        moments = every_minute(TICKS)
        idle = await ticks(runner, stream, next(moments), calls)
        async with listening(desk, "benchmark", stream.group):
            busy = await ticks(runner, stream, next(moments), calls)
    return [
        Row(f"{name}, nobody listens: processor", idle.processor, "ms"),
        Row(f"{name}, nobody listens: calls to storage and service", idle.calls, "a tick"),
        Row(f"{name}, heard: processor", busy.processor, "ms"),
        Row(f"{name}, heard: duration", busy.duration, "ms"),
        Row(f"{name}, heard: calls to storage and service", busy.calls, "a tick"),
    ]


@dataclass(frozen=True)
class Cost:
    """Of one tick: milliseconds of this process and of the clock, and requests."""

    processor: float
    duration: float
    calls: float


async def ticks(
    runner: StreamRunner, stream: Stream, moments: list[datetime], calls: Calls
) -> Cost:
    count, before = len(moments), calls.storage + calls.service
    processor, clock = time.process_time(), time.monotonic()
    for moment in moments:
        await runner.run_tick(stream, moment)
    return Cost(
        1000 * (time.process_time() - processor) / count,
        1000 * (time.monotonic() - clock) / count,
        (calls.storage + calls.service - before) / count,
    )


def every_minute(count: int) -> Iterator[list[datetime]]:
    """So many moments at a time, and never the same one twice."""
    now = datetime.now(UTC)
    while True:
        yield [now := now + timedelta(minutes=1) for _ in range(count)]


# --- a browser --------------------------------------------------------------------------------


@asynccontextmanager
async def listening(
    desk: Desk, hub: str, group: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        WebPubSubServiceClient.from_connection_string(
            desk.webpubsub_connection_string, hub=hub
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
            said: Data = await socket.receive_json()
            if said["type"] == "message" and said["from"] == "group":
                frame: Data = said["data"]
                return frame
