"""A stream that STREAMS_OFF names has no timer and is not listed."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from local.parts import Desk, Part, free_ports, start_functions
from tests.strict import QUIET


@pytest.fixture
async def app(desk: Desk, request: pytest.FixtureRequest) -> AsyncIterator[Part]:
    (port,) = free_ports(1)
    environment = {**desk.environment, **QUIET, "STREAMS_OFF": request.param}
    part = start_functions(port, environment)
    try:
        await asyncio.to_thread(part.wait)
        yield part
    finally:
        part.stop()


async def read_json(http: aiohttp.ClientSession, url: str) -> dict:
    async with http.get(url) as answer:
        assert answer.status == 200
        return await answer.json()


@pytest.mark.parametrize("app", ["stock-prices, weather"], indirect=True)
async def test_it_has_no_timer_and_is_not_listed(app: Part, http: aiohttp.ClientSession) -> None:
    listed = await read_json(http, f"{app.url}/api/streams")
    health = await read_json(http, f"{app.url}/api/health/details")

    assert [one["name"] for one in listed["streams"]] == ["system-metrics"]
    assert set(health["checks"]["streams"]) == {"system-metrics"}
    timers = [line.split(":")[0].strip() for line in app.output if "timerTrigger" in line]
    assert "system_metrics" in timers
    assert not {"stock_prices", "weather"} & set(timers)


@pytest.mark.parametrize("app", ["stock-price"], indirect=True)
async def test_a_name_that_no_stream_has_is_reported(
    app: Part, http: aiohttp.ClientSession
) -> None:
    health = await read_json(http, f"{app.url}/api/health/details")

    problem = health["checks"]["streams"]["STREAMS_OFF"]
    assert problem == {"active": False, "error": "there is no stream stock-price"}
    assert "stock-prices" in health["checks"]["streams"]
