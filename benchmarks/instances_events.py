"""What else clients and streams do, on several instances: joins, presence, read markers, ticks.

Each case uses real connections to the emulator, whose events reach the instances through the
balancer.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from benchmarks.instances_cluster import Cluster
from benchmarks.instances_load import Answers
from benchmarks.presence import Client

PEOPLE = 200
ACTIVE = 50
"""Clients that act at the same time; the others are in the room and receive."""

SECONDS = 4.0
TICK_SECONDS = 12
MAX_DELAY_SECONDS = 0.5
DEADLINE_SECONDS = 30.0

Act = Callable[[int], Awaitable[bool]]
Start = Callable[[], Awaitable[None]]
"""A case calls it when its clients are ready."""


async def measure_joins(
    cluster: Cluster, http: aiohttp.ClientSession, start: Start
) -> tuple[Answers, str]:
    """50 members of a room of 200 join it again and again."""
    async with AsyncExitStack() as exits:
        room, clients = await open_members(cluster, http, exits)

        async def join(number: int) -> bool:
            answer = await clients[number].send_message("join", {"room": room})
            return bool(answer["type"] == "joined")

        await start()
        return await repeat(join), ""


async def measure_read_markers(
    cluster: Cluster, http: aiohttp.ClientSession, start: Start
) -> tuple[Answers, str]:
    """50 members of a room mark their last message as read, again and again."""
    async with AsyncExitStack() as exits:
        room, clients = await open_members(cluster, http, exits)
        for number in range(20):
            body = {"content": f"Message {number}", "id": str(number)}
            async with http.post(f"{cluster.url}/api/rooms/{room}/message", json=body) as response:
                response.raise_for_status()

        turns = [0] * ACTIVE

        async def mark(number: int) -> bool:
            turns[number] += 1
            clients[number].answer = {}
            data = {"room": room, "seq": turns[number] % 20 + 1}
            return (await clients[number].send_message("read", data)).get("type") != "error"

        await start()
        return await repeat(mark), ""


async def measure_subscriptions(
    cluster: Cluster, http: aiohttp.ClientSession, start: Start
) -> tuple[Answers, str]:
    """50 guests subscribe to a stream and unsubscribe from it, again and again."""
    sessions = [await negotiate(cluster, http) for _ in range(ACTIVE)]
    turns = [0] * ACTIVE

    async def change(number: int) -> bool:
        turns[number] += 1
        action = "subscribe" if turns[number] % 2 else "unsubscribe"
        headers = {"Authorization": f"Bearer {sessions[number]['session']}"}
        url = f"{cluster.url}/api/streams/stock-prices/{action}"
        async with http.post(url, json={}, headers=headers) as response:
            await response.read()
            return response.status == 200

    await start()
    return await repeat(change), ""


async def measure_presence(
    cluster: Cluster, http: aiohttp.ClientSession, start: Start
) -> tuple[Answers, str]:
    """200 users join an empty room and leave it; one member counts the notices.

    A time is that from a user's event to its notice.
    """
    room = f"presence-{uuid.uuid4().hex[:8]}"
    answers = Answers()
    async with AsyncExitStack() as exits:
        observer = await open_client(await negotiate(cluster, http), http, exits)
        await observer.send_message("join", {"room": room})
        noticed: dict[tuple[str, str], float] = {}
        observer.on_message = lambda data: noticed.update(
            {change: time.perf_counter() for change in changes_of(data)}
        )
        guests = [await negotiate(cluster, http) for _ in range(PEOPLE - 2)]
        clients = [await open_client(guest, http, exits) for guest in guests]
        acted: dict[tuple[str, str], float] = {}
        await start()
        began = time.perf_counter()
        for event, notice in (("join", "joined"), ("leave", "left")):

            async def act(number: int, event: str = event, notice: str = notice) -> None:
                acted[notice, guests[number]["user_id"]] = time.perf_counter()
                await clients[number].send_message(event, {"room": room})

            await asyncio.gather(*map(act, range(len(clients))))
            await wait_until(lambda: len(acted.keys() - noticed.keys()) == 0)
        answers.seconds = time.perf_counter() - began
    answers.milliseconds = [
        1000 * (noticed[one] - at) for one, at in acted.items() if one in noticed
    ]
    missed = len(acted.keys() - noticed.keys())
    return answers, f"{missed} of {len(acted)} notices missed"


async def measure_ticks(
    cluster: Cluster, http: aiohttp.ClientSession, start: Start
) -> tuple[Answers, str]:
    """The frames of a stream of one second at a subscriber; a time is that after the second."""
    received: list[tuple[int, float]] = []
    async with AsyncExitStack() as exits:
        guest = await negotiate(cluster, http)
        client = await open_client(guest, http, exits)

        def note(data: Any) -> None:
            if isinstance(data, dict) and "tick" in data:
                received.append((data["tick"], time.time()))

        client.on_message = note
        headers = {"Authorization": f"Bearer {guest['session']}"}
        url = f"{cluster.url}/api/streams/system-metrics/subscribe"
        await start()
        async with http.post(url, json={}, headers=headers) as response:
            response.raise_for_status()
        await wait_until(lambda: len(received) > TICK_SECONDS)
    frames = received[1:]  # The first one may be of the tick before.
    ticks = [tick for tick, _ in frames]
    missed = ticks[-1] - ticks[0] + 1 - len(set(ticks)) if ticks else 0
    late = sum(at - tick > MAX_DELAY_SECONDS for tick, at in frames)
    twice = len(ticks) - len(set(ticks))
    answers = Answers([1000 * (at - tick) for tick, at in frames], seconds=TICK_SECONDS)
    return answers, f"{missed} missed, {twice} twice, {late} late"


Case = Callable[[Cluster, aiohttp.ClientSession, Start], Awaitable[tuple[Answers, str]]]

CASES: dict[str, Case] = {
    "joins": measure_joins,
    "presence": measure_presence,
    "read-markers": measure_read_markers,
    "subscriptions": measure_subscriptions,
    "ticks": measure_ticks,
}

# --- clients ----------------------------------------------------------------------------------


class EventClient(Client):
    """Passes on what it receives beside acknowledgements."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        super().__init__(http, url)
        self.on_message: Callable[[Any], None] = lambda _: None

    @property
    def answer(self) -> dict[str, Any]:
        return self._answer

    @answer.setter
    def answer(self, value: dict[str, Any]) -> None:
        self._answer = value

    async def _read(self) -> None:
        async for message in self._socket:
            received = message.json()
            if received.get("type") == "message":
                self.on_message(received["data"])
            if received.get("from") == "server":
                self._answer = received["data"]
            if received["type"] == "ack":
                self._acks.pop(received["ackId"]).set_result(self._answer)


def changes_of(data: Any) -> list[tuple[str, str]]:
    """The changes of presence in a frame: the event and the user of each."""
    if not isinstance(data, dict):
        return []
    changes = [data] if data.get("type") == "system" else data.get("changes", [])
    if data.get("type") not in {"system", "presence"}:
        return []
    return [(one["event"], one["user_id"]) for one in changes]


async def negotiate(cluster: Cluster, http: aiohttp.ClientSession) -> dict[str, Any]:
    async with http.post(f"{cluster.url}/api/negotiate", json={}) as response:
        response.raise_for_status()
        answer: dict[str, Any] = await response.json()
        return answer


async def open_client(
    guest: dict[str, Any], http: aiohttp.ClientSession, exits: AsyncExitStack
) -> EventClient:
    client = EventClient(http, guest["url"])
    await client.open()
    exits.push_async_callback(client.close)
    return client


async def open_members(
    cluster: Cluster, http: aiohttp.ClientSession, exits: AsyncExitStack
) -> tuple[str, list[EventClient]]:
    """A room of 200 members, each with a connection."""
    room = f"events-{uuid.uuid4().hex[:8]}"
    clients = []
    for _ in range(PEOPLE // ACTIVE):
        guests = await asyncio.gather(*(negotiate(cluster, http) for _ in range(ACTIVE)))
        opened = await asyncio.gather(*(open_client(one, http, exits) for one in guests))
        await asyncio.gather(*(one.send_message("join", {"room": room}) for one in opened))
        clients += opened
    return room, clients


async def repeat(act: Act) -> Answers:
    """Each active client sends the next event when it has the response."""
    answers = Answers(seconds=SECONDS)
    end = time.perf_counter() + SECONDS

    async def run(number: int) -> None:
        while (began := time.perf_counter()) < end:
            if await act(number):
                answers.milliseconds.append(1000 * (time.perf_counter() - began))
            else:
                answers.refused += 1

    await asyncio.gather(*map(run, range(ACTIVE)))
    return answers


async def wait_until(condition: Callable[[], bool]) -> None:
    """Returns when the condition is true, or after the deadline: the caller counts."""
    end = time.perf_counter() + DEADLINE_SECONDS
    while not condition() and time.perf_counter() < end:  # noqa: ASYNC110 - any condition
        await asyncio.sleep(0.02)
