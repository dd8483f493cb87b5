"""Safe repetitions of requests: after lost responses, and after errors with Retry-After."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from townsquare_client import (
    AsyncTownsquare,
    ConnectionFailedError,
    InvalidAddressError,
    RateLimitedError,
    Townsquare,
    UnavailableError,
    UnexpectedResponseError,
)

from local.parts import Part
from tests.http_server import serve
from tests.proxy import losing_proxy
from tests.strict import KEY


class Waits:
    """A sleep that takes no time, and what it was asked for."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


class Server:
    """Refuses some requests first, as the app and the platform do."""

    def __init__(self) -> None:
        self.refusals: list[web.Response] = []
        self.requests: list[str] = []

    def refuse(self, status: int, code: str, retry: bool, seconds: str = "") -> None:  # noqa: FBT001
        error = {"code": code, "message": "A sentence.", "retry": retry}
        headers = {"Retry-After": seconds} if seconds else {}
        self.refusals.append(web.json_response({"error": error}, status=status, headers=headers))

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.requests.append(f"{request.method} {request.path}")
        if self.refusals:
            return self.refusals.pop(0)
        body: Any = {"seq": 7, "id": "x", "stream": "tide", "frames": 1, "tick": 1, "online": True}
        return web.json_response(body)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, AsyncTownsquare, Waits]]:
    server, waits = Server(), Waits()
    async with (
        serve(server.answer) as url,
        AsyncTownsquare(url, key="key", sleep=waits, chance=lambda: 1.0) as client,
    ):
        yield server, client, waits


async def test_a_message_whose_answers_are_lost_is_stored_once(strict: Part, room: str) -> None:
    async with losing_proxy(strict.url) as proxy:
        waits = Waits()
        async with AsyncTownsquare(proxy.url, key=KEY, sleep=waits) as client:
            proxy.lose = 2
            accepted = await client.send_message(room, "once")
            stored = [one.content async for one in client.history(room)]

    assert (accepted.seq, stored, proxy.lost, len(waits.seconds)) == (1, ["once"], 2, 2)


async def test_a_pushed_frame_whose_answer_is_lost_is_not_pushed_again(
    strict: Part, room: str
) -> None:
    name = f"s{room[-20:]}"
    async with (
        losing_proxy(strict.url) as proxy,
        AsyncTownsquare(proxy.url, key=KEY, sleep=Waits()) as client,
    ):
        await client.put_stream(name, f"Title of {name}", always=True)
        proxy.lose = 1
        with pytest.raises(ConnectionFailedError):
            await client.push(name, {"n": 1})
        await client.push(name, {"n": 2})
        now, minute = datetime.now(UTC), timedelta(minutes=1)
        points = await client.stream_history(
            name, since=now - minute, until=now + minute, points=1000
        )

    assert [one.data["n"] for one in points] == [1, 2]


async def test_retry_after_is_obeyed_and_a_long_one_is_left_to_the_caller(
    server: tuple[Server, AsyncTownsquare, Waits],
) -> None:
    app, client, waits = server
    app.refuse(429, "rate_limited", retry=True, seconds="3")
    app.refuse(503, "unavailable", retry=True)
    assert await client.is_online("bob")
    assert waits.seconds == [3.0, 1.0]

    app.refuse(429, "rate_limited", retry=True, seconds="120")
    with pytest.raises(RateLimitedError) as refused:
        await client.is_online("bob")
    assert (refused.value.retry_after, refused.value.code) == (120.0, "rate_limited")


async def test_a_request_that_is_not_repeatable_is_repeated_only_without_effect(
    server: tuple[Server, AsyncTownsquare, Waits],
) -> None:
    app, client, _ = server
    app.refuse(503, "busy", retry=True)
    assert (await client.push("tide", {})).tick == 1
    app.refuse(503, "unavailable", retry=True)
    with pytest.raises(UnavailableError):
        await client.push("tide", {})
    assert len(app.requests) == 3


async def test_a_delete_whose_first_answer_was_a_failure_may_have_succeeded(
    server: tuple[Server, AsyncTownsquare, Waits],
) -> None:
    app, client, _ = server
    app.refuse(503, "unavailable", retry=True)
    app.refuse(410, "message_deleted", retry=False)

    await client.delete_message("lobby", 1)

    assert app.requests == ["DELETE /api/rooms/lobby/messages/1"] * 2


async def test_an_answer_without_json_is_an_error_with_its_status(
    server: tuple[Server, AsyncTownsquare, Waits],
) -> None:
    app, client, waits = server
    app.refusals = [web.Response(status=502, text="<h1>Bad gateway</h1>") for _ in range(4)]

    with pytest.raises(UnavailableError) as refused:
        await client.is_online("bob")

    assert (refused.value.code, refused.value.status, len(waits.seconds)) == ("http_502", 502, 3)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"<h1>Sign in</h1>", {"Content-Type": "text/html"}),
        (b"", {}),
        (b"[]", {"Content-Type": "application/json"}),
        (b'{"other": true}', {"Content-Type": "application/json"}),
        (b'{"online": "\xff"}', {"Content-Type": "application/json"}),
        (b"not gzip", {"Content-Encoding": "gzip"}),
    ],
    ids=["html", "empty", "list", "other-member", "no-utf8", "no-gzip"],
)
async def test_a_success_that_is_no_response_of_the_app_is_an_error_of_the_client(
    server: tuple[Server, AsyncTownsquare, Waits], body: bytes, headers: dict[str, str]
) -> None:
    app, client, waits = server
    app.refusals = [web.Response(body=body, headers=headers)]

    with pytest.raises(UnexpectedResponseError):
        await client.is_online("bob")

    assert waits.seconds == []


async def test_a_page_of_a_proxy_is_no_success_of_a_request_without_a_result(
    server: tuple[Server, AsyncTownsquare, Waits],
) -> None:
    app, client, _ = server
    app.refusals = [web.Response(text="<h1>Sign in</h1>", content_type="text/html")]

    with pytest.raises(UnexpectedResponseError, match=r"PUT .*/ban.*200.*text/html"):
        await client.ban("bob")


@pytest.mark.parametrize(
    "url", ["", "townsquare.example.org", "localhost:7071", "ftp://x/", "http://", "http://[::1"]
)
def test_an_address_that_is_not_valid_is_an_error_of_the_client(url: str) -> None:
    for kind in (Townsquare, AsyncTownsquare):
        with pytest.raises(InvalidAddressError, match="https://"):
            kind(url, key="key")


def test_an_address_with_an_invalid_port_or_a_too_long_path_is_an_error_of_the_client() -> None:
    with pytest.raises(InvalidAddressError):
        Townsquare("http://localhost:99999", key="key")
    with Townsquare("http://localhost") as client, pytest.raises(InvalidAddressError):
        client.is_online("x" * 70_000)
