"""Faults, the Free tier, misbehaving clients, settings, and the command line."""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from azure.core.exceptions import HttpResponseError
from azure.messaging.webpubsubservice import WebPubSubServiceClient
from hypothesis import given
from hypothesis import strategies as st
from running_emulator import (
    GROUP_ROLES,
    HUB,
    JSON,
    RELIABLE,
    TIMEOUT_SECONDS,
    RunningEmulator,
    handler_settings,
    run_emulator,
    run_event_handler,
    wait_until,
)
from webpubsub_emulator.faults import Fault, Faults, parse_fault
from webpubsub_emulator.protocol import ProtocolError, parse_message
from webpubsub_emulator.quota import Quota
from webpubsub_emulator.settings import InvalidSettingsError, read_settings

# Faults


async def test_rest_fault_applies_to_its_count_of_requests() -> None:
    async with run_emulator() as emulator:
        emulator.server.faults.add(Fault("rest", "refuse", count=2, status=503))

        for _ in range(2):
            with pytest.raises(HttpResponseError) as rejection:
                await emulator.call(emulator.service().send_to_all, "hi")
            assert rejection.value.status_code == 503
        await emulator.call(emulator.service().send_to_all, "hi")


async def test_upstream_faults_are_retried() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        ann = await emulator.connect("ann")
        emulator.server.faults.add(Fault("upstream", "refuse", count=1))
        emulator.server.faults.add(Fault("upstream", "drop", count=2))
        emulator.server.faults.add(Fault("upstream", "delay", seconds=0.01))
        await ann.send(type="event", event="say", data=1, ackId=1)
        assert (await ann.receive())["success"]

        emulator.server.faults.add(Fault("upstream", "drop", count=4))
        await ann.send(type="event", event="say", data=1, ackId=2)
        assert not (await ann.receive())["success"]


async def test_frames_are_dropped_and_delayed_in_order() -> None:
    async with run_emulator() as emulator:
        ann = await emulator.connect("ann", groups=["g"])
        emulator.server.faults.add(Fault("frame", "drop"))
        emulator.server.faults.add(Fault("frame", "delay", seconds=0.05))
        for number in range(4):
            await emulator.call(emulator.service().send_to_group, "g", number)

        assert [(await ann.receive())["data"] for _ in range(3)] == [1, 2, 3]


async def test_control_endpoint_exists_only_when_enabled() -> None:
    async with run_emulator(control=True) as emulator:
        ann = await emulator.connect("ann", protocol=RELIABLE)
        assert await post_control(emulator, "faults", {"target": "rest", "action": "refuse"}) == 204
        assert await post_control(emulator, "faults", {"target": "rest", "action": "sing"}) == 400
        assert await post_control(emulator, "faults", {"colour": "red"}) == 400
        with pytest.raises(HttpResponseError):
            await emulator.call(emulator.service().send_to_all, "hi")
        assert await post_control(emulator, "drop-connections", {"user_id": "ann"}) == 200
        assert (await ann.websocket.receive(TIMEOUT_SECONDS)).type is not aiohttp.WSMsgType.TEXT
    async with run_emulator() as emulator:
        assert await post_control(emulator, "faults", {"target": "rest", "action": "refuse"}) == 404


async def post_control(emulator: RunningEmulator, path: str, body: dict[str, str]) -> int:
    async with emulator.http.post(
        f"{emulator.server.endpoint}/emulator/{path}", json=body
    ) as response:
        return response.status


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("rest:refuse", Fault("rest", "refuse")),
        ("upstream:refuse:3:500", Fault("upstream", "refuse", 3, status=500)),
        ("frame:delay:2:0.5", Fault("frame", "delay", 2, seconds=0.5)),
        ("rest:drop:4", Fault("rest", "drop", 4)),
    ],
)
def test_fault_is_parsed_from_text(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize("words", ["rest", "rest:sing", "rest:refuse:x", "frame:refuse", "a:b:0"])
def test_invalid_fault_is_rejected(words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_fault(words)


def test_faults_apply_in_the_order_they_were_added() -> None:
    faults = Faults()
    faults.add(Fault("rest", "drop", 2))
    faults.add(Fault("rest", "delay", 1))

    taken = [faults.take("rest") for _ in range(4)]

    assert [fault and fault.action for fault in taken] == ["drop", "drop", "delay", None]
    assert not faults.has_pending("rest")


# The Free tier


async def test_free_tier_accepts_twenty_connections() -> None:
    async with run_emulator(quota=Quota()) as emulator:
        for number in range(20):
            await emulator.connect(f"user{number}")

        with pytest.raises(aiohttp.WSServerHandshakeError) as rejection:
            await emulator.connect("one too many")

        assert rejection.value.status == 429


async def test_free_tier_rejects_messages_above_the_daily_quota() -> None:
    now = [1_000_000.0]
    async with run_emulator(quota=Quota(messages=2, clock=lambda: now[0])) as emulator:
        await emulator.connect("ann")
        await emulator.call(emulator.service().send_to_all, "x" * 4096)
        with pytest.raises(HttpResponseError) as rejection:
            await emulator.call(emulator.service().send_to_all, "x")
        assert rejection.value.status_code == 429
        now[0] += 24 * 3600
        await emulator.call(emulator.service().send_to_all, "x")


# Misbehaving clients


@given(
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["type", "group", "ackId", "data", "dataType", "stream", "streamId"]
                ),
                inner
                | st.sampled_from(["joinGroup", "sendToGroup", "streamData", "text", "binary"]),
            )
        ),
    ).map(json.dumps)
)
def test_any_text_is_a_message_or_a_protocol_error(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        parse_message(text)


async def test_random_bytes_do_not_affect_other_clients() -> None:
    rng = random.Random(7)
    async with run_emulator() as emulator:
        for _ in range(40):
            await send_bytes(emulator, rng.randbytes(rng.randrange(1, 3000)))
            await send_bytes(
                emulator, upgrade_request(emulator) + rng.randbytes(rng.randrange(1, 3000))
            )
        await send_bytes(emulator, b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n")
        await send_bytes(
            emulator, b"POST /api/hubs/chat/:send HTTP/1.1\r\nContent-Length: 9999999\r\n\r\nx"
        )
        for path in ("/", "/%00", "/client/hubs/%", "/api/hubs/", "/api/hubs/chat/%ff/:send"):
            await send_bytes(emulator, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

        ann = await emulator.connect("ann", groups=["g"])
        await emulator.call(emulator.service().send_to_group, "g", "still here")
        assert (await ann.receive())["data"] == "still here"


async def test_client_that_does_not_read_is_closed_without_affecting_others() -> None:
    async with run_emulator() as emulator:
        bob = await emulator.connect("bob", roles=GROUP_ROLES)
        async with unresponsive_client(emulator, "ann", groups=["g"]):
            for number in range(40):
                words = {"group": "g", "dataType": "text", "data": "x" * 900_000}
                await bob.send(type="sendToGroup", ackId=number, **words)
                assert (await bob.receive())["success"]

            await wait_until(lambda: is_offline(emulator, "ann"))


async def test_client_that_does_not_answer_pings_is_disconnected() -> None:
    async with run_emulator(ping_interval=0.1) as emulator:
        bob = await emulator.connect("bob")
        reading = asyncio.ensure_future(bob.websocket.receive())
        async with unresponsive_client(emulator, "ann"):
            await wait_until(lambda: is_offline(emulator, "ann"))

        assert await emulator.call(emulator.service().user_exists, "bob")
        reading.cancel()


async def test_unresponsive_client_does_not_delay_the_shutdown() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with run_emulator() as emulator:
            await stack.enter_async_context(unresponsive_client(emulator, "ann"))
            await wait_until(lambda: emulator.call(emulator.service().user_exists, "ann"))
            stopped = time.monotonic()

        # aiohttp waits 10 s for the close frame of a client.
        assert time.monotonic() - stopped < 8


async def is_offline(emulator: RunningEmulator, user: str) -> bool:
    return not await emulator.call(emulator.service().user_exists, user)


@contextlib.asynccontextmanager
async def unresponsive_client(
    emulator: RunningEmulator, user: str, **claims: object
) -> AsyncIterator[None]:
    """A client that connects and then neither reads nor sends."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(0)
    with client:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", emulator.server.port))
        await loop.sock_sendall(client, upgrade_request(emulator, user, **claims))
        assert b" 101 " in await loop.sock_recv(client, 64)
        yield


async def send_bytes(emulator: RunningEmulator, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", emulator.server.port)
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        await asyncio.wait_for(reader.read(65536), TIMEOUT_SECONDS)
    writer.close()


def upgrade_request(emulator: RunningEmulator, user: str = "eve", **claims: object) -> bytes:
    url = urlsplit(emulator.url(user, **claims))
    return (
        f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {JSON}\r\n\r\n"
    ).encode()


# The settings file and the command line


def hub_of(handler: dict[str, object]) -> dict[str, object]:
    return {"WebPubSub": {"Hubs": {"chat": {"EventHandlers": [handler]}}}}


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"WebPubSub": []},
        {"WebPubSub": {"AccessKey": 5}},
        {"WebPubSub": {"Hubs": {"9": {}}}},
        {"WebPubSub": {"Hubs": {"chat": []}}},
        {"WebPubSub": {"Hubs": {"chat": {"EventHandlers": {}}}}},
        hub_of({}),
        hub_of({"UrlTemplate": "http://{hub}/"}),
        hub_of({"UrlTemplate": "http://a/", "EventPattern": "a*"}),
        hub_of({"UrlTemplate": "http://a/", "SystemEvents": ["joined"]}),
    ],
)
def test_invalid_settings_are_rejected(document: object) -> None:
    with pytest.raises(InvalidSettingsError):
        read_settings(document)


def test_settings_ignore_case_and_the_first_matching_handler_is_used() -> None:
    handlers = [
        {"urltemplate": "http://a/", "SystemEvents": ["Connect"], "eventPattern": "one, Two"},
        {"UrlTemplate": "http://b/", "SystemEvents": ["connect", "connected"], "EventPattern": "*"},
    ]
    settings = read_settings({"webpubsub": {"HUBS": {"Chat": {"EventHandlers": handlers}}}})

    def handler_url(handler: object) -> str:
        return getattr(handler, "url_template", "none")

    assert handler_url(settings.system_event_handler("chat", "connect")) == "http://a/"
    assert handler_url(settings.system_event_handler("chat", "connected")) == "http://b/"
    assert handler_url(settings.system_event_handler("chat", "disconnected")) == "none"
    assert handler_url(settings.user_event_handler("chat", "TWO")) == "http://a/"
    assert handler_url(settings.user_event_handler("chat", "three")) == "http://b/"
    assert handler_url(settings.user_event_handler("other", "three")) == "none"


async def test_command_serves_until_sigterm(tmp_path: Path) -> None:
    settings = tmp_path / "appsettings.json"
    settings.write_text('{"WebPubSub": {"AccessKey": "' + "k" * 40 + '"}}')
    async with command("--port", "0", cwd=tmp_path) as emulator:
        assert emulator.stdout is not None
        line = (await asyncio.wait_for(emulator.stdout.readline(), 20)).decode()
        connection_string = line.partition(": ")[2].strip()
        service = WebPubSubServiceClient.from_connection_string(connection_string, hub=HUB)
        await asyncio.to_thread(service.send_to_all, "hi")
        endpoint = connection_string.partition(";")[0].removeprefix("Endpoint=")
        async with aiohttp.ClientSession() as http, http.head(f"{endpoint}/api/health") as health:
            assert health.status == 200
        emulator.send_signal(signal.SIGTERM)

        assert await asyncio.wait_for(emulator.wait(), 30) == 0
        assert "AccessKey=" + "k" * 40 in connection_string


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--access-key", "short"), "at least 32 bytes"),
        (("--settings", "missing.json"), "missing.json"),
        (("--fault", "rest:sing"), "rest:sing"),
    ],
)
async def test_command_prints_why_it_cannot_start(
    tmp_path: Path, arguments: tuple[str, str], message: str
) -> None:
    async with command("--port", "0", *arguments, cwd=tmp_path) as emulator:
        _, errors = await asyncio.wait_for(emulator.communicate(), 20)

        assert emulator.returncode in (1, 2)
        assert message in errors.decode()


@contextlib.asynccontextmanager
async def command(*arguments: str, cwd: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    source = Path(__file__).parents[1] / "src"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "webpubsub_emulator", *arguments),
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(source)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_hundred_short_connections_leave_no_state_behind() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):

        async def connect_and_leave(number: int) -> None:
            client = await emulator.connect(f"user{number}", roles=GROUP_ROLES)
            await client.send(type="joinGroup", group="g", ackId=1)
            await client.receive()
            await client.close()

        await asyncio.gather(*map(connect_and_leave, range(100)))

        gone = [await app.receive("disconnected") for _ in range(100)]
        hub = emulator.server.service.hub(HUB)
        assert len({event.headers["ce-userId"] for event in gone}) == 100
        assert (hub.connections, hub.users, hub.groups) == ({}, {}, {})
