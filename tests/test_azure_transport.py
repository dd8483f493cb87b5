"""The transport of the Azure clients: proxies of the environment, and reused connections."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from azure.core import AsyncPipelineClient
from azure.core.rest import HttpRequest

from local.parts import TABLES_ACCOUNT, free_ports, start_tables
from realtime.azure.transport import (
    KEEPALIVE_SECONDS,
    LOCAL_KEEPALIVE_SECONDS,
    make_transport,
    uses_proxy,
)
from tests.stand_in import stand_in

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Callable]:
    """A function that sends a request and returns its response."""
    client: AsyncPipelineClient = AsyncPipelineClient(url, transport=make_transport(url))
    try:
        yield lambda method="GET": client.send_request(HttpRequest(method, f"{url}/path"))
    finally:
        await client.close()


PROXY = "http://proxy:8"


@pytest.mark.parametrize(
    ("environment", "endpoint", "used"),
    [
        ({}, "https://a.example", False),
        ({"HTTPS_PROXY": PROXY}, "https://a.example", True),
        ({"https_proxy": "proxy:8"}, "https://a.example", True),
        ({"HTTPS_PROXY": ""}, "https://a.example", False),
        ({"HTTPS_PROXY": PROXY}, "http://a.example", False),
        ({"HTTP_PROXY": PROXY}, "http://a.example", True),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "b.example"}, "https://a.example", True),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "b.example"}, "https://b.example", False),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, "https://a.example", False),
        ({"HTTP_PROXY": PROXY, "no_proxy": "127.0.0.1"}, "http://127.0.0.1:1/account", False),
    ],
)
def test_proxy_variables_of_the_environment_decide_whether_a_proxy_is_used(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], endpoint: str, *, used: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert uses_proxy(endpoint) is used


async def test_a_request_goes_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stand_in(lambda: web.Response(text="by proxy")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//ann:secret@"))
        async with connect("http://service.invalid") as send:
            response = await send("POST")

    assert response.text() == "by proxy"
    assert proxy.requests[0].raw_path == "http://service.invalid/path"
    credentials = proxy.requests[0].headers["Proxy-Authorization"].removeprefix("Basic ")
    assert base64.b64decode(credentials) == b"ann:secret"


async def test_requests_without_a_proxy_are_sent_to_the_service_directly() -> None:
    async with (
        stand_in(lambda: web.Response(text="service")) as server,
        connect(server.url) as send,
    ):
        response = await send()

    assert (response.text(), server.requests[0].raw_path) == ("service", "/path")


async def test_a_connection_is_reused() -> None:
    async with stand_in(web.Response) as server, connect(server.url) as send:
        for _ in range(3):
            await send("POST")

        assert len(set(map(id, server.connections))) == 1


async def test_an_idle_local_connection_is_closed_before_azurite_closes_it() -> None:
    (port,) = free_ports(1)
    azurite = start_tables(port)
    try:
        await asyncio.to_thread(azurite.wait)
        async with connect(azurite.url) as send:
            response = await send()
    finally:
        azurite.stop()
    timeout = float(response.headers["Keep-Alive"].removeprefix("timeout="))

    assert timeout - LOCAL_KEEPALIVE_SECONDS >= 1
    assert KEEPALIVE_SECONDS > 15  # aiohttp's own

    async with stand_in(web.Response) as server, connect(server.url) as send:
        await send("POST")
        await asyncio.sleep(LOCAL_KEEPALIVE_SECONDS + 0.1)
        await send("POST")

        assert len(set(map(id, server.connections))) == 2


async def test_a_request_does_not_use_a_connection_that_the_server_closed() -> None:
    """The server closes the connection after each response, without `Connection: close`."""

    def close_after() -> web.Response:
        asyncio.get_running_loop().call_later(0.01, server.connections[-1].close)
        return web.Response()

    async with stand_in(close_after) as server, connect(server.url) as send:
        for _ in range(5):
            assert (await send("POST")).status_code == 200
            # The client receives the end of the stream meanwhile, also in a process that is slow.
            for _ in range(20):
                await asyncio.sleep(0.01)

        assert len(server.requests) == 5


async def test_a_closed_client_sends_no_request() -> None:
    async with stand_in(web.Response) as server:
        async with connect(server.url) as send:
            await send()
        with pytest.raises(ValueError, match="closed"):
            await send()


async def test_an_unused_client_can_be_closed() -> None:
    async with connect(f"http://127.0.0.1:1/{TABLES_ACCOUNT}"):
        pass
