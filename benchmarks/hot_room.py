"""One room in which 50 users write at the same time: messages stored and delivered a second.

With the limit of concurrent requests that Azure gives an instance, and without. Beside it, by the
same requests on the same machine: three plain ways to take a message into a room.
"""

import asyncio
import time
import uuid
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import aiohttp
import msgspec

from benchmarks.servers import settings_of, stack, start_baseline
from benchmarks.table import Row
from local.parts import Part, Stack
from realtime.azure.web_pubsub import Hub, connect_hub
from realtime.names import room_group

SENDERS = 50
RECEIVERS = 50
MESSAGES = 40
PLAIN_MESSAGES = 5
"""The plain way is measured with fewer: each of its senders fights all the others for the head."""

HTTP_CONCURRENCY = 16
PLAIN = "read, transact, publish each"
LOCKED = "a lock for each room, transact, publish each"
ARTICLE = "sync route, stores nothing"
PROTOCOL = "json.webpubsub.azure.v1"


async def measure_hot_room() -> list[Row]:
    with stack({"HTTP_CONCURRENCY": "0"}) as ours:
        baseline = start_baseline(ours.environment, "benchmarks.baseline_chat:app")
        try:
            rows = await _compare_with_plain(ours, baseline)
        finally:
            baseline.stop()
    with stack({"HTTP_CONCURRENCY": str(HTTP_CONCURRENCY)}) as ours:
        what = f"hot room, {HTTP_CONCURRENCY} requests at once"
        return rows + await _measure_ways(ours, what)


async def _compare_with_plain(ours: Stack, baseline: Part) -> list[Row]:
    baseline.wait()
    received, *ways = await _measure_ways(ours, "hot room")
    async with _http() as http:
        plain = await measure_rest(ours, http, f"{baseline.url}/plain", messages=PLAIN_MESSAGES)
        locked = await measure_rest(ours, http, f"{baseline.url}/locked")
        article = await measure_rest(ours, http, f"{baseline.url}/article")
    beside = {PLAIN: plain, LOCKED: locked, ARTICLE: article}
    return [
        *(replace(received, baseline=one, baseline_name=name) for name, one in beside.items()),
        *ways,
    ]


async def _measure_ways(ours: Stack, what: str) -> list[Row]:
    async with _http() as http:
        received = await measure_rest(ours, http, f"{ours.url}/api")
        system = await measure_rest(ours, http, f"{ours.url}/api", as_users=False)
        unread = await measure_rest(ours, http, f"{ours.url}/api", receivers=0)
        sockets = await measure_sockets(ours, http)
    return [
        Row(f"{what}: REST, {RECEIVERS} receivers", received, "messages/s"),
        Row(f"{what}: REST, {RECEIVERS} receivers, no audit rows", system, "messages/s"),
        Row(f"{what}: REST, no receivers", unread, "messages/s"),
        Row(f"{what}: {SENDERS} members over sockets", sockets, "messages/s"),
    ]


def _http() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


# --- by REST ----------------------------------------------------------------------------------


async def measure_rest(
    ours: Stack,
    http: aiohttp.ClientSession,
    base: str,
    *,
    messages: int = MESSAGES,
    receivers: int = RECEIVERS,
    as_users: bool = True,
) -> float:
    """Messages a second until all are acknowledged and every receiver has every message.

    Each message that a server sends under a user's id is a row of the audit log too.
    """
    room = f"hot-{uuid.uuid4().hex[:8]}"
    hub = connect_hub(settings_of(ours))
    async with AsyncExitStack() as exits:
        exits.push_async_callback(hub.close)
        opened = [await Receiver.open(http, hub, room) for _ in range(receivers)]
        url = f"{base}/rooms/{room}/message"
        began = time.perf_counter()
        await asyncio.gather(
            *(each.wait_for(SENDERS * messages) for each in opened),
            *(
                send_messages(http, url, f"s{n}", messages, as_user=as_users)
                for n in range(SENDERS)
            ),
        )
        took = time.perf_counter() - began
        await asyncio.gather(*(each.close() for each in opened))
    return SENDERS * messages / took


async def send_messages(
    http: aiohttp.ClientSession, url: str, name: str, messages: int, *, as_user: bool = True
) -> None:
    """One after the other, from this user or from the system."""
    for number in range(messages):
        body = {"content": f"Message {number} of {name}", "id": f"{name}-{number}"}
        if as_user:
            body["from"] = name
        async with http.post(url, json=body) as response:
            if response.status != 200:
                raise RuntimeError(f"{url} returned {response.status}")


class Receiver:
    """Counts the messages that one connection receives."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._count = 0

    @classmethod
    async def open(cls, http: aiohttp.ClientSession, hub: Hub, room: str) -> "Receiver":
        access = await hub.get_client_access_token(
            f"r-{uuid.uuid4().hex[:8]}", [room_group(room)], []
        )
        socket = await http.ws_connect(access.url, protocols=[PROTOCOL])
        await socket.receive()
        return cls(socket)

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(120):
            while self._count < count:
                frame = decode_frame(await self._socket.receive())
                self._count += frame.data.message_count

    async def close(self) -> None:
        await self._socket.close()


class MessageEntry(msgspec.Struct):
    """A message in a frame; only counted."""


class FrameData(msgspec.Struct, frozen=True):
    """The part of a frame's data that is counted."""

    type: str = ""
    messages: list[MessageEntry] = []

    @property
    def message_count(self) -> int:
        return len(self.messages) or int(self.type == "message")


class ReceivedFrame(msgspec.Struct):
    """A frame with data, or an acknowledgement."""

    type: str
    success: bool = False
    data: FrameData = FrameData()


_FRAME_DECODER = msgspec.json.Decoder(ReceivedFrame)
"""Skips what is not counted: decoding it would take a seventh of the processor time."""


def decode_frame(frame: aiohttp.WSMessage) -> ReceivedFrame:
    return _FRAME_DECODER.decode(frame.data)


# --- over sockets -----------------------------------------------------------------------------


async def measure_sockets(ours: Stack, http: aiohttp.ClientSession) -> float:
    """Messages a second that members send over their connections, until everybody has all."""
    room = f"hot-{uuid.uuid4().hex[:8]}"
    members = [await Member.open(ours, http, room) for _ in range(SENDERS)]
    began = time.perf_counter()
    await asyncio.gather(*(member.send_and_receive(SENDERS * MESSAGES) for member in members))
    took = time.perf_counter() - began
    await asyncio.gather(*(member.close() for member in members))
    return SENDERS * MESSAGES / took


class Member:
    """A member of a room; sends the next message when the last one is acknowledged."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, room: str) -> None:
        self._socket = socket
        self._room = room

    @classmethod
    async def open(cls, ours: Stack, http: aiohttp.ClientSession, room: str) -> "Member":
        async with http.post(f"{ours.url}/api/negotiate", json={}) as response:
            url = (await response.json())["url"]
        member = cls(await http.ws_connect(url, protocols=[PROTOCOL]), room)
        await member._send("join", 0, {"room": room})
        while (await member._socket.receive_json()).get("ackId") != 0:
            pass
        return member

    async def send_and_receive(self, count: int) -> None:
        sent, received = 0, 0
        await self._send_message(sent)
        async with asyncio.timeout(120):
            while received < count:
                frame = decode_frame(await self._socket.receive())
                received += frame.data.message_count
                if frame.type != "ack":
                    continue
                if not frame.success:
                    raise RuntimeError("a message was not acknowledged")
                sent += 1
                if sent < MESSAGES:
                    await self._send_message(sent)

    async def _send_message(self, number: int) -> None:
        data = {"room": self._room, "content": f"Message {number}", "id": str(number)}
        await self._send("message", number + 1, data)

    async def _send(self, event: str, ack: int, data: Any) -> None:
        frame = {"type": "event", "event": event, "ackId": ack, "dataType": "json", "data": data}
        await self._socket.send_json(frame)

    async def close(self) -> None:
        await self._socket.close()
