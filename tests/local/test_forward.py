"""One forwarded port is enough: the app, the page and the WebSocket through the forwarder."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from local.forward import codespace_url, start_forwarder
from local.parts import ACCESS_KEY, ROOT, Part, Ports, Stack, free_ports, start_functions
from realtime.azure.web_pubsub import connect_hub
from realtime.settings import InvalidSettingsError, Settings
from tests.browser import find_browser, start_playwright
from tests.users import RELIABLE, SECOND, Connection

START_TIMEOUT_SECONDS = 60 * SECOND


@pytest.fixture
async def public(stack: Stack) -> AsyncIterator[tuple[str, Part]]:
    """The public address, and an instance of the app that is configured for it."""
    port, app_port = free_ports(2)
    url = f"http://localhost:{port}"
    settings = {**stack.environment, "WEBPUBSUB_CLIENT_ENDPOINT": url}
    app = start_functions(app_port, settings)
    runner = await start_forwarder(port, app.url, stack.webpubsub_url, url)
    try:
        app.wait()
        yield url, app
    finally:
        app.stop()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        (
            {
                "CODESPACES": "true",
                "CODESPACE_NAME": "fuzzy-tree-4j9",
                "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN": "app.github.dev",
            },
            "https://fuzzy-tree-4j9-7070.app.github.dev",
        ),
        ({"CODESPACE_NAME": "x", "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN": "y.dev"}, None),
        ({"CODESPACES": "true", "CODESPACE_NAME": "x"}, None),
        ({}, None),
    ],
)
def test_the_address_of_a_codespace_comes_from_its_environment(
    environ: dict[str, str], url: str | None
) -> None:
    assert codespace_url(7070, environ) == url


async def test_the_client_endpoint_replaces_the_host_of_the_url_only() -> None:
    environ = {
        "WEBPUBSUB_CONNECTION_STRING": f"Endpoint=http://localhost:8080;AccessKey={ACCESS_KEY};",
        "WEBPUBSUB_CLIENT_ENDPOINT": "https://chat.example.com/",
        "TABLES_ENDPOINT": "https://tables.example.com",
        "SESSION_SECRET": "only-for-this-test-only-for-this-test",
    }
    hub = connect_hub(Settings.read(environ))

    token = await hub.get_client_access_token("ann", [], [])

    await hub.close()
    start = f"wss://chat.example.com/client/hubs/townsquare?access_token={token.token}"
    assert token.url == start
    assert hub.host == "localhost"  # the service whose events are accepted stays the same
    with pytest.raises(InvalidSettingsError, match="WEBPUBSUB_CLIENT_ENDPOINT"):
        Settings.read({**environ, "WEBPUBSUB_CLIENT_ENDPOINT": "chat.example.com"})


async def test_a_forwarded_header_does_not_decide_where_clients_connect(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}

    async with http.post(f"{stack.url}/api/negotiate", headers=forged) as response:
        url = (await response.json())["url"]
    async with http.get(stack.url, headers=forged) as page:
        policy = page.headers["Content-Security-Policy"]

    assert "evil" not in url + policy


async def test_a_client_connects_through_the_public_address(
    public: tuple[str, Part], http: aiohttp.ClientSession, room: str
) -> None:
    url, _ = public
    async with http.post(f"{url}/api/negotiate", json={"user_id": "ann"}) as response:
        negotiated = await response.json()
    assert negotiated["url"].startswith(url.replace("http", "ws", 1) + "/client/hubs/")

    connection = await Connection.open(http, negotiated["url"], RELIABLE)
    try:
        joined = await connection.join(room)
        assert [one["user_id"] for one in joined["users"]] == [negotiated["user_id"]]
    finally:
        await connection.close()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(f"{url}/client/hubs/townsquare?access_token=forged")
    assert refused.value.status == 401


async def test_only_pages_of_the_public_address_may_send_requests(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    (port,) = free_ports(1)
    codespace = "https://fuzzy-tree-4j9-7070.app.github.dev"
    runner = await start_forwarder(port, stack.url, stack.webpubsub_url, codespace)
    try:
        for origin, allowed in ((codespace, True), ("https://elsewhere.example", False)):
            url = f"http://localhost:{port}/api/negotiate"
            async with http.post(url, headers={"Origin": origin}) as response:
                assert (response.status == 200) is allowed, origin
    finally:
        await runner.cleanup()


async def test_the_page_may_connect_to_the_public_address(public: tuple[str, Part]) -> None:
    """In a browser: the content security policy and the app's check of Origin allow it."""
    url, _ = public
    if (installed := find_browser()) is None:
        reason = "no Chromium, Chrome or Edge: run `make test`, or set CHROMIUM to the path of one"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    async with start_playwright() as playwright:
        browser = await playwright.chromium.launch(**installed.launch_options())
        page = await browser.new_page()
        await page.goto(url)
        protocol = await page.evaluate(
            """async (protocol) => {
                const body = JSON.stringify({ user_id: "ann" });
                const response = await fetch("/api/negotiate", { method: "POST", body });
                const socket = new WebSocket((await response.json()).url, protocol);
                await new Promise((resolve, reject) => {
                    socket.onopen = resolve;
                    socket.onerror = () => reject(new Error("the socket was refused"));
                });
                return socket.protocol;
            }""",
            RELIABLE,
        )
        await browser.close()

    assert protocol == RELIABLE


def test_make_start_in_a_codespace_prints_its_address(tmp_path: Path) -> None:
    ports, (public_port,) = Ports.free(), free_ports(1)
    flags = [f"--{part}-port={port}" for part, port in vars(ports).items()]
    command = subprocess.Popen(
        [
            *(sys.executable, "-m", "local", *flags),
            *(f"--public-port={public_port}", f"--data={tmp_path}"),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "CODESPACES": "true",
            "CODESPACE_NAME": "fuzzy-tree-4j9",
            "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN": "app.github.dev",
            "WEATHER_SCHEDULE": "0 0 0 1 1 *",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert command.stdout is not None
    try:
        opened = next((line for line in command.stdout if "Open http" in line), "")
    finally:
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=START_TIMEOUT_SECONDS)

    assert re.search(
        rf"Open https://fuzzy-tree-4j9-{public_port}\.app\.github\.dev/$", opened.strip()
    )
