"""Streams in the setting STREAMS_OFF are off."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from local.parts import Part, Stack, free_ports, start_functions
from realtime.streams.definition import StreamInfo
from realtime.streams.store import StreamStore
from tests.instances import Instance
from tests.strict import QUIET


@pytest.fixture
async def app(stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[Part]:
    (port,) = free_ports(1)
    environment = {
        **stack.environment,
        **QUIET,
        "WEATHER_SCHEDULE": "* * * * * *",
        "STREAMS_OFF": request.param,
    }
    part = start_functions(port, environment)
    try:
        await asyncio.to_thread(part.wait)
        yield part
    finally:
        part.stop()


async def read_json(http: aiohttp.ClientSession, url: str) -> dict:
    async with http.get(url) as response:
        assert response.status == 200
        return await response.json()


@pytest.mark.parametrize("app", ["stock-prices, system-metrics, weather, tide-off"], indirect=True)
async def test_a_stream_that_is_off_is_listed_and_has_no_ticks(
    app: Part, one: Instance, http: aiohttp.ClientSession
) -> None:
    listed = await read_json(http, f"{app.url}/api/streams")
    off = {one["name"] for one in listed["streams"] if one["off"]}
    assert off >= {"stock-prices", "system-metrics", "weather"}

    store, weather = StreamStore(one.tables), StreamInfo("weather", "Weather", "weather", "")
    before = await store.read(weather)
    session = (await read_json(http, f"{app.url}/api/negotiate"))["session"]
    headers = {"Authorization": f"Bearer {session}"}
    url = f"{app.url}/api/streams/weather/subscribe"
    async with http.post(url, headers=headers) as response:
        assert response.status == 200
    assert await store.read(weather) == before

    tide = f"{app.url}/api/streams/tide-off"
    async with http.put(tide, json={"title": "Tide that is off"}) as response:
        assert (await response.json())["off"]
    async with http.post(tide, json={"data": {}}) as response:
        assert response.status == 409
        assert (await response.json())["error"]["code"] == "stream_off"


@pytest.mark.parametrize("app", ["stock-price"], indirect=True)
async def test_a_name_that_no_stream_has_is_reported(
    app: Part, http: aiohttp.ClientSession
) -> None:
    health = await read_json(http, f"{app.url}/api/health/details")

    problem = health["checks"]["streams"]["STREAMS_OFF"]
    assert problem == {"active": False, "error": "there is no stream stock-price"}
    assert "stock-prices" in health["checks"]["streams"]
