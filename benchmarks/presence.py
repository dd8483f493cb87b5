"""The duration of a join in small and large rooms, and of the reconnection of many clients."""

import asyncio
import random
import statistics
import time
import uuid
from collections.abc import Sequence
from typing import Any

import aiohttp

from benchmarks.servers import settings_of, stack
from benchmarks.table import Row
from local.parts import Stack
from realtime.azure.tables import connect_tables
from realtime.azure.web_pubsub import Hub, connect_hub
from realtime.names import room_group
from realtime.rooms.announced_users import AnnouncedUsers

SIZES = (10, 200, 5_000)
JOINS = 200
STORM = 1_000
CROWD = 500
ANNOUNCE_TIMEOUT_SECONDS = 120.0
JITTER = 2.0
"""Seconds over which disconnected clients spread their reconnection."""

PROTOCOL = "json.webpubsub.azure.v1"


async def run() -> list[Row]:
    with stack() as ours:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http:
            return [*await joins(ours, http), *await reconnection(ours, http)]


class Client:
    """One connection, which reads continuously, as a browser does."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self._response: dict[str, Any] = {}
        self._acks: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def open(self) -> "Client":
        self._socket = await self._http.ws_connect(self._url, protocols=[PROTOCOL])
        await self._socket.receive()
        self._reading = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        async for message in self._socket:
            received = message.json()
            if received.get("from") == "server":
                self._response = received["data"]
            if received["type"] == "ack":
                self._acks.pop(received["ackId"]).set_result(self._response)

    async def send_message(self, event: str, data: Any) -> dict[str, Any]:
        """Send an event; the app's response, which comes before the ack."""
        ack = time.perf_counter_ns()
        self._acks[ack] = asyncio.get_running_loop().create_future()
        frame = {"type": "event", "event": event, "dataType": "json", "data": data}
        await self._socket.send_json({**frame, "ackId": ack})
        return await self._acks[ack]

    async def close(self) -> None:
        await self._socket.close()
        self._reading.cancel()


# --- joining ------------------------------------------------------------------------------------


async def joins(ours: Stack, http: aiohttp.ClientSession) -> list[Row]:
    room = f"crowd-{uuid.uuid4().hex[:8]}"
    hub = connect_hub(settings_of(ours))
    tables = connect_tables(settings_of(ours))
    rows: list[Row] = []
    crowd: list[Client] = []
    ann = await Client(http, await negotiated(ours, http)).open()
    try:
        for size in SIZES:
            new = size - len(crowd) - 1
            crowd += await fill(hub, http, room, new)
            first = await timed_join(ann, room)
            rows.append(Row(f"join a room of {size:,} while {new:,} enter", first, "ms"))
            await wait_until_announced(AnnouncedUsers(tables), room, size)
            times = [await timed_join(ann, room) for _ in range(JOINS)]
            # Inclusive, because a p99 above the longest time would be invented.
            hundredths = statistics.quantiles(times, n=100, method="inclusive")
            rows.append(Row(f"join a room of {size:,}: p50", hundredths[49], "ms"))
            rows.append(Row(f"join a room of {size:,}: p99", hundredths[98], "ms"))
            if size == SIZES[1]:
                rows.append(await storm(crowd[:50], room))
    finally:
        await asyncio.gather(*(client.close() for client in [ann, *crowd]))
        await hub.close()
        await tables.close()
    return rows


async def wait_until_announced(announced: AnnouncedUsers, room: str, size: int) -> None:
    """The events of the users who have just entered wait in the app before a join that follows."""
    async with asyncio.timeout(ANNOUNCE_TIMEOUT_SECONDS):
        while await announced.count(room) < size:  # noqa: ASYNC110 - another process announces
            await asyncio.sleep(0.1)


async def timed_join(client: Client, room: str) -> float:
    began = time.perf_counter()
    joined = await client.send_message("join", {"room": room})
    if joined["type"] != "joined":
        raise RuntimeError(f"the response to a join is {joined}")
    return (time.perf_counter() - began) * 1000


async def storm(clients: Sequence[Client], room: str) -> Row:
    """Many joins, each client sends the next one when it has the response."""
    began = time.perf_counter()
    turns = STORM // len(clients)

    async def again_and_again(client: Client) -> None:
        for _ in range(turns):
            await timed_join(client, room)

    await asyncio.gather(*(again_and_again(client) for client in clients))
    took = time.perf_counter() - began
    return Row(f"{STORM:,} joins of a room of {SIZES[1]}", STORM / took, "/s")


async def fill(hub: Hub, http: aiohttp.ClientSession, room: str, count: int) -> list[Client]:
    """More users in the room, each with one connection."""
    gate = asyncio.Semaphore(50)

    async def enter() -> Client:
        async with gate:
            ticket = await hub.get_client_access_token(
                f"fan-{uuid.uuid4().hex[:8]}", [room_group(room)], []
            )
            return await Client(http, ticket.url).open()

    return list(await asyncio.gather(*(enter() for _ in range(count))))


async def negotiated(ours: Stack, http: aiohttp.ClientSession, session: str = "") -> str:
    headers = {"Authorization": f"Bearer {session}"} if session else {}
    async with http.post(f"{ours.url}/api/negotiate", json={}, headers=headers) as answer:
        return str((await answer.json())["url"])


# --- reconnection ---------------------------------------------------------------------------------


async def reconnection(ours: Stack, http: aiohttp.ClientSession) -> list[Row]:
    """All clients lose their connection, miss ten messages and reconnect within the jitter."""
    room = f"cut-{uuid.uuid4().hex[:8]}"
    people = [await admitted(ours, http) for _ in range(CROWD)]
    clients = await in_batches(people, lambda one: Client(http, one["url"]).open())
    first = await in_batches(clients, lambda client: client.send_message("join", {"room": room}))
    await asyncio.gather(*(client.close() for client in clients))
    for number in range(10):
        body = {"content": f"missed {number}", "id": str(number)}
        await http.post(f"{ours.url}/api/rooms/{room}/message", json=body)

    async def back(one: dict[str, Any], position: dict[str, Any]) -> tuple[float, Client]:
        await asyncio.sleep(random.random() * JITTER)
        began = time.perf_counter()
        url = await negotiated(ours, http, one["session"])
        client = await Client(http, url).open()
        at = {"room": room, "after": position["head"], "epoch": position["epoch"]}
        joined = await client.send_message("join", at)
        if not joined["recovered"] or len(joined["messages"]) != 10:
            raise RuntimeError(f"not recovered: {joined}")
        return time.perf_counter() - began, client

    returned = await asyncio.gather(
        *(back(one, position) for one, position in zip(people, first, strict=True))
    )
    headers = {"Authorization": f"Bearer {people[0]['session']}"}
    async with http.get(f"{ours.url}/api/rooms/{room}/users", headers=headers) as answer:
        if (count := (await answer.json())["count"]) != CROWD:
            raise RuntimeError(f"{count} are here, not {CROWD}")
    times = [took for took, _ in returned]
    await asyncio.gather(*(client.close() for _, client in returned))
    twentieths = statistics.quantiles(times, n=20)
    what = f"{CROWD} clients cut at once, back and recovered"
    return [Row(f"{what}: p50", twentieths[9], "s"), Row(f"{what}: p95", twentieths[18], "s")]


async def admitted(ours: Stack, http: aiohttp.ClientSession) -> dict[str, Any]:
    async with http.post(f"{ours.url}/api/negotiate", json={}) as answer:
        admission: dict[str, Any] = await answer.json()
        return admission


async def in_batches(things: Sequence[Any], act: Any, size: int = 50) -> list[Any]:
    """The results of an operation for each item, run in batches."""
    results: list[Any] = []
    for start in range(0, len(things), size):
        results += await asyncio.gather(*(act(one) for one in things[start : start + size]))
    return results
