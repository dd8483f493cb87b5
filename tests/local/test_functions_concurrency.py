"""The number of requests that one instance handles concurrently."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.local.small_app import host_app, write_app

TIMEOUT_SECONDS = 110.0
SOURCE = """
running = peak = 0
together = threading.Barrier(60)
reached = None

@app.route("wait")
async def wait(req: func.HttpRequest) -> func.HttpResponse:
    global running, peak, reached
    reached = reached or asyncio.Event()
    running += 1
    peak = max(peak, running)
    if running >= int(req.params.get("until", 0)):
        reached.set()
    await reached.wait()
    await asyncio.sleep(0.1)
    running -= 1
    return func.HttpResponse(str(peak))

@app.route("block")
def block(req: func.HttpRequest) -> func.HttpResponse:
    together.wait(timeout=100)
    return func.HttpResponse("together")
"""


async def send_many(url: str, count: int) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=TIMEOUT_SECONDS) as client:
        return list(await asyncio.gather(*(client.get(url) for _ in range(count))))


@pytest.mark.parametrize(
    ("environment", "http", "peak"),
    [
        ({}, {}, 16),
        ({"HTTP_CONCURRENCY": "3"}, {}, 3),
        ({"HTTP_CONCURRENCY": "0"}, {}, 40),
        ({}, {"maxConcurrentRequests": 2}, 2),
        ({"HTTP_CONCURRENCY": "5"}, {"maxConcurrentRequests": 20}, 5),
        ({"HTTP_CONCURRENCY": "5"}, {"maxConcurrentRequests": -1}, 5),
    ],
)
async def test_requests_above_the_concurrency_limit_wait(
    tmp_path: Path, environment: dict[str, str], http: dict[str, Any], peak: int
) -> None:
    app = write_app(tmp_path, SOURCE, host={"extensions": {"http": http}})
    with host_app(app, environment=environment) as part:
        responses = await send_many(f"{part.url}/api/wait?until={peak}", 40)

        assert {response.status_code for response in responses} == {200}
        assert max(int(response.text) for response in responses) == peak


async def test_requests_above_max_outstanding_requests_are_rejected(tmp_path: Path) -> None:
    http = {"maxConcurrentRequests": 2, "maxOutstandingRequests": 5}
    app = write_app(tmp_path, SOURCE, host={"extensions": {"http": http}})
    with host_app(app) as part:
        responses = await send_many(f"{part.url}/api/wait", 20)
        statuses = [response.status_code for response in responses]

        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= 5
        assert (await send_many(f"{part.url}/api/wait", 5))[0].status_code == 200


async def test_a_disconnected_client_frees_its_place_in_the_queue(tmp_path: Path) -> None:
    app = write_app(tmp_path, SOURCE)
    with host_app(app, environment={"HTTP_CONCURRENCY": "1"}) as part:
        async with httpx.AsyncClient(timeout=0.15) as impatient:
            calls = [impatient.get(f"{part.url}/api/wait") for _ in range(6)]
            results = await asyncio.gather(*calls, return_exceptions=True)

        assert [one for one in results if isinstance(one, httpx.TimeoutException)]
        assert (await send_many(f"{part.url}/api/wait", 3))[0].status_code == 200


async def test_sync_functions_get_as_many_threads_as_in_azure(tmp_path: Path) -> None:
    app = write_app(tmp_path, SOURCE)
    with host_app(app, environment={"HTTP_CONCURRENCY": "0"}) as part:
        responses = await send_many(f"{part.url}/api/block", 60)

        assert {response.status_code for response in responses} == {200}
