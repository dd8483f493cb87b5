"""How many requests one instance handles at a time."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.local.small_app import hosted, write_app

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


async def ask_many(url: str, count: int) -> list[httpx.Response]:
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
async def test_further_requests_wait(
    tmp_path: Path, environment: dict[str, str], http: dict[str, Any], peak: int
) -> None:
    app = write_app(tmp_path, SOURCE, host={"extensions": {"http": http}})
    with hosted(app, environment=environment) as part:
        answers = await ask_many(f"{part.url}/api/wait?until={peak}", 40)

        assert {answer.status_code for answer in answers} == {200}
        assert max(int(answer.text) for answer in answers) == peak


async def test_what_is_outstanding_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    http = {"maxConcurrentRequests": 2, "maxOutstandingRequests": 5}
    app = write_app(tmp_path, SOURCE, host={"extensions": {"http": http}})
    with hosted(app) as part:
        answers = await ask_many(f"{part.url}/api/wait", 20)
        statuses = [answer.status_code for answer in answers]

        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= 5
        assert (await ask_many(f"{part.url}/api/wait", 5))[0].status_code == 200


async def test_a_client_that_goes_away_gives_its_turn_to_the_next(tmp_path: Path) -> None:
    app = write_app(tmp_path, SOURCE)
    with hosted(app, environment={"HTTP_CONCURRENCY": "1"}) as part:
        async with httpx.AsyncClient(timeout=0.15) as impatient:
            calls = [impatient.get(f"{part.url}/api/wait") for _ in range(6)]
            ended = await asyncio.gather(*calls, return_exceptions=True)

        assert [one for one in ended if isinstance(one, httpx.TimeoutException)]
        assert (await ask_many(f"{part.url}/api/wait", 3))[0].status_code == 200


async def test_sync_functions_get_as_many_threads_as_in_azure(tmp_path: Path) -> None:
    app = write_app(tmp_path, SOURCE)
    with hosted(app, environment={"HTTP_CONCURRENCY": "0"}) as part:
        answers = await ask_many(f"{part.url}/api/block", 60)

        assert {answer.status_code for answer in answers} == {200}
