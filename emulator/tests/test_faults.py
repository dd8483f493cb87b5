"""Trouble: ordered faults, the Free tier, hostile clients, and starting from the command line."""

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
    DEADLINE,
    HUB,
    JSON,
    RELIABLE,
    TALKER,
    Desk,
    application,
    desk,
    eventually,
    handled_by,
)
from webpubsub_emulator.faults import Fault, Faults, read_fault
from webpubsub_emulator.protocol import ProtocolError, parse
from webpubsub_emulator.quota import Quota
from webpubsub_emulator.settings import InvalidSettingsError, read_settings

# Faults to order


async def test_ordered_refusals_of_rest_requests_pass() -> None:
    async with desk() as d:
        d.server.faults.order(Fault("rest", "refuse", count=2, status=503))

        for _ in range(2):
            with pytest.raises(HttpResponseError) as refusal:
                await d.ask(d.service().send_to_all, "hi")
            assert refusal.value.status_code == 503
        await d.ask(d.service().send_to_all, "hi")


async def test_an_event_handler_in_trouble_is_tried_again() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        ann = await d.enter("ann")
        d.server.faults.order(Fault("upstream", "refuse", count=1))
        d.server.faults.order(Fault("upstream", "drop", count=2))
        d.server.faults.order(Fault("upstream", "delay", seconds=0.01))
        await ann.says(type="event", event="say", data=1, ackId=1)
        assert (await ann.hears())["success"]

        d.server.faults.order(Fault("upstream", "drop", count=4))
        await ann.says(type="event", event="say", data=1, ackId=2)
        assert not (await ann.hears())["success"]


async def test_frames_are_dropped_and_delayed_in_order() -> None:
    async with desk() as d:
        ann = await d.enter("ann", groups=["g"])
        d.server.faults.order(Fault("frame", "drop"))
        d.server.faults.order(Fault("frame", "delay", seconds=0.05))
        for number in range(4):
            await d.ask(d.service().send_to_group, "g", number)

        assert [(await ann.hears())["data"] for _ in range(3)] == [1, 2, 3]


async def test_trouble_is_ordered_over_http_only_where_it_is_allowed() -> None:
    async with desk(admin=True) as d:
        ann = await d.enter("ann", protocol=RELIABLE)
        assert await ordered(d, "faults", {"target": "rest", "action": "refuse"}) == 204
        assert await ordered(d, "faults", {"target": "rest", "action": "sing"}) == 400
        assert await ordered(d, "faults", {"colour": "red"}) == 400
        with pytest.raises(HttpResponseError):
            await d.ask(d.service().send_to_all, "hi")
        assert await ordered(d, "cut", {"user_id": "ann"}) == 200
        assert (await ann.websocket.receive(DEADLINE)).type is not aiohttp.WSMsgType.TEXT
    async with desk() as d:
        assert await ordered(d, "faults", {"target": "rest", "action": "refuse"}) == 404


async def ordered(d: Desk, what: str, order: dict[str, str]) -> int:
    async with d.http.post(f"{d.server.endpoint}/emulator/{what}", json=order) as answer:
        return answer.status


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("rest:refuse", Fault("rest", "refuse")),
        ("upstream:refuse:3:500", Fault("upstream", "refuse", 3, status=500)),
        ("frame:delay:2:0.5", Fault("frame", "delay", 2, seconds=0.5)),
        ("rest:drop:4", Fault("rest", "drop", 4)),
    ],
)
def test_a_fault_is_ordered_in_a_word(words: str, fault: Fault) -> None:
    assert read_fault(words) == fault


@pytest.mark.parametrize("words", ["rest", "rest:sing", "rest:refuse:x", "frame:refuse", "a:b:0"])
def test_a_fault_that_cannot_be_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_fault(words)


def test_faults_come_in_the_order_of_their_orders() -> None:
    faults = Faults()
    faults.order(Fault("rest", "drop", 2))
    faults.order(Fault("rest", "delay", 1))

    taken = [faults.take("rest") for _ in range(4)]

    assert [fault and fault.action for fault in taken] == ["drop", "drop", "delay", None]
    assert not faults.expect("rest")


# The Free tier


async def test_the_free_tier_has_room_for_twenty() -> None:
    async with desk(quota=Quota()) as d:
        for number in range(20):
            await d.enter(f"user{number}")

        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await d.enter("one too many")

        assert refusal.value.status == 429


async def test_the_free_tier_ends_with_its_messages_until_midnight() -> None:
    now = [1_000_000.0]
    async with desk(quota=Quota(messages=2, clock=lambda: now[0])) as d:
        await d.enter("ann")
        await d.ask(d.service().send_to_all, "x" * 4096)
        with pytest.raises(HttpResponseError) as refusal:
            await d.ask(d.service().send_to_all, "x")
        assert refusal.value.status_code == 429
        now[0] += 24 * 3600
        await d.ask(d.service().send_to_all, "x")


# Hostile clients


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
def test_any_text_is_a_message_or_breaks_the_protocol(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        parse(text)


async def test_garbage_on_the_line_does_no_harm() -> None:
    chance = random.Random(7)
    async with desk() as d:
        for _ in range(40):
            await throw(d, chance.randbytes(chance.randrange(1, 3000)))
            await throw(d, handshake(d) + chance.randbytes(chance.randrange(1, 3000)))
        await throw(d, b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n")
        await throw(d, b"POST /api/hubs/chat/:send HTTP/1.1\r\nContent-Length: 9999999\r\n\r\nx")
        for path in ("/", "/%00", "/client/hubs/%", "/api/hubs/", "/api/hubs/chat/%ff/:send"):
            await throw(d, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

        ann = await d.enter("ann", groups=["g"])
        await d.ask(d.service().send_to_group, "g", "still here")
        assert (await ann.hears())["data"] == "still here"


async def test_who_does_not_read_is_cut_off_and_the_others_hear_on() -> None:
    async with desk() as d:
        bob = await d.enter("bob", roles=TALKER)
        async with silent(d, "ann", groups=["g"]):
            for number in range(40):
                words = {"group": "g", "dataType": "text", "data": "x" * 900_000}
                await bob.says(type="sendToGroup", ackId=number, **words)
                assert (await bob.hears())["success"]

            await eventually(lambda: is_gone(d, "ann"))


async def test_who_does_not_answer_pings_is_let_go() -> None:
    async with desk(ping_seconds=0.1) as d:
        bob = await d.enter("bob")
        listening = asyncio.ensure_future(bob.websocket.receive())
        async with silent(d, "ann"):
            await eventually(lambda: is_gone(d, "ann"))

        assert await d.ask(d.service().user_exists, "bob")
        listening.cancel()


async def test_who_does_not_answer_does_not_hold_up_the_end() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with desk() as d:
            await stack.enter_async_context(silent(d, "ann"))
            await eventually(lambda: d.ask(d.service().user_exists, "ann"))
            stopped = time.monotonic()

        assert time.monotonic() - stopped < 4


async def is_gone(d: Desk, user: str) -> bool:
    return not await d.ask(d.service().user_exists, user)


@contextlib.asynccontextmanager
async def silent(d: Desk, user: str, **claims: object) -> AsyncIterator[None]:
    """A client that comes in and then neither reads nor says anything."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.settimeout(0)
    with line:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(line, ("127.0.0.1", d.server.port))
        await loop.sock_sendall(line, handshake(d, user, **claims))
        assert b" 101 " in await loop.sock_recv(line, 64)
        yield


async def throw(d: Desk, garbage: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", d.server.port)
    with contextlib.suppress(ConnectionError):
        writer.write(garbage)
        await writer.drain()
        writer.write_eof()
        await asyncio.wait_for(reader.read(65536), DEADLINE)
    writer.close()


def handshake(d: Desk, user: str = "eve", **claims: object) -> bytes:
    url = urlsplit(d.url(user, **claims))
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
def test_settings_that_cannot_be_used_are_refused(document: object) -> None:
    with pytest.raises(InvalidSettingsError):
        read_settings(document)


def test_settings_are_read_ignoring_case_and_the_first_match_wins() -> None:
    handlers = [
        {"urltemplate": "http://a/", "SystemEvents": ["Connect"], "eventPattern": "one, Two"},
        {"UrlTemplate": "http://b/", "SystemEvents": ["connect", "connected"], "EventPattern": "*"},
    ]
    settings = read_settings({"webpubsub": {"HUBS": {"Chat": {"EventHandlers": handlers}}}})

    def taker(handler: object) -> str:
        return getattr(handler, "url_template", "nobody")

    assert taker(settings.system_handler("chat", "connect")) == "http://a/"
    assert taker(settings.system_handler("chat", "connected")) == "http://b/"
    assert taker(settings.system_handler("chat", "disconnected")) == "nobody"
    assert taker(settings.user_handler("chat", "TWO")) == "http://a/"
    assert taker(settings.user_handler("chat", "three")) == "http://b/"
    assert taker(settings.user_handler("other", "three")) == "nobody"


async def test_the_command_serves_until_it_is_asked_to_stop(tmp_path: Path) -> None:
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

        assert await asyncio.wait_for(emulator.wait(), 10) == 0
        assert "AccessKey=" + "k" * 40 in connection_string


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--access-key", "short"), "at least 32 bytes"),
        (("--settings", "missing.json"), "missing.json"),
        (("--fault", "rest:sing"), "rest:sing"),
    ],
)
async def test_the_command_says_why_it_cannot_start(
    tmp_path: Path, arguments: tuple[str, str], complaint: str
) -> None:
    async with command("--port", "0", *arguments, cwd=tmp_path) as emulator:
        _, errors = await asyncio.wait_for(emulator.communicate(), 20)

        assert emulator.returncode in (1, 2)
        assert complaint in errors.decode()


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


async def test_a_hundred_clients_that_come_and_go_at_once_leave_nothing_behind() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:

        async def visit(number: int) -> None:
            person = await d.enter(f"user{number}", roles=TALKER)
            await person.says(type="joinGroup", group="g", ackId=1)
            await person.hears()
            await person.leaves()

        started = time.monotonic()
        await asyncio.gather(*map(visit, range(100)))

        gone = [await app.hears("disconnected") for _ in range(100)]
        hub = d.server.service.hub(HUB)
        assert len({told.headers["ce-userId"] for told in gone}) == 100
        assert (hub.connections, hub.users, hub.groups) == ({}, {}, {})
        assert time.monotonic() - started < DEADLINE * 2
