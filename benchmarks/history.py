"""Messages stored and delivered per second, compared with two simple implementations.

The same clients send the same requests to each server, one server after the other, with the same
emulator and Azurite.
"""

import asyncio
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
from msgspec.structs import replace

from benchmarks.hot_room import LOCKED, PLAIN, SENDERS, measure_hot_room, send_messages
from benchmarks.servers import settings_of, stack, start_baseline
from benchmarks.table import Row
from local.parts import Stack
from realtime.azure.operations import Replace
from realtime.azure.tables import Tables, connect_tables
from realtime.azure.web_pubsub import connect_hub
from realtime.rooms.drafts import MessageDraft
from realtime.rooms.history import History
from realtime.rooms.log import LogStore
from realtime.rooms.log_rows import Head, int64

ROOMS = 1_000
EACH = 4
LONG = 100_000
SHORT = 100

Act = Callable[[], Awaitable[Any]]


async def run() -> list[Row]:
    with stack({"HTTP_CONCURRENCY": "0"}) as ours:
        beside = start_baseline(ours.environment, "benchmarks.baseline_chat:app")
        try:
            beside.wait()
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
                rows = [
                    *await many_rooms(ours, beside.url, http),
                    *await one_message(ours, http),
                    *await pages(ours),
                ]
        finally:
            beside.stop()
    return [*await measure_hot_room(), *rows]


# --- many rooms -------------------------------------------------------------------------------


async def many_rooms(ours: Stack, beside: str, http: aiohttp.ClientSession) -> list[Row]:
    """One sender in each room: no contention, so batches have no benefit."""
    stored = await spread(http, f"{ours.url}/api")
    plain = await spread(http, f"{beside}/plain")
    locked = await spread(http, f"{beside}/locked")
    what = f"{ROOMS:,} rooms, one sender each"
    return [
        Row(what, stored, "messages/s", plain, PLAIN),
        Row(what, stored, "messages/s", locked, LOCKED),
    ]


async def spread(http: aiohttp.ClientSession, base: str) -> float:
    mark = uuid.uuid4().hex[:8]
    gate = asyncio.Semaphore(SENDERS)

    async def one(number: int) -> None:
        async with gate:
            await send_messages(http, f"{base}/rooms/r{mark}-{number}/message", "ann", EACH)

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(ROOMS)))
    return ROOMS * EACH / (time.perf_counter() - began)


# --- one message ------------------------------------------------------------------------------


async def one_message(ours: Stack, http: aiohttp.ClientSession) -> list[Row]:
    """From send to receipt in an idle system, compared with the sum of its parts."""
    async with http.post(f"{ours.url}/api/negotiate", json={"user_id": "ann"}) as response:
        url = (await response.json())["url"]
    room = f"idle-{uuid.uuid4().hex[:8]}"
    ann = await http.ws_connect(url, protocols=["json.webpubsub.azure.v1"])
    await ann.receive()
    await send_event(ann, 1, "join", {"room": room})
    await until_ack(ann, 1)
    times = []
    for number in range(2, 202):
        began = time.perf_counter()
        await send_event(ann, number, "message", {"room": room, "content": "hi", "id": str(number)})
        await until_message(ann)
        times.append(time.perf_counter() - began)
        await until_ack(ann, number)
    tables, hub = connect_tables(settings_of(ours)), connect_hub(settings_of(ours))
    logs = LogStore(tables)
    acts: list[Act] = [
        lambda: event_round_trip(ann, room),
        lambda: commit(logs, room + "-x"),
        lambda: hub.send_to_group("nobody", {"type": "message"}),
    ]
    # A connection with 100 rejected events a minute would be closed.
    in_turn = await medians_in_turn(acts, times=45)
    in_loops = [await medians(act, times=45) for act in acts]
    await ann.close()
    await tables.close()
    await hub.close()
    ours_p50 = statistics.median(times) * 1000
    what = "one message, send to seen: p50"
    return [
        Row(what, ours_p50, "ms", sum(in_turn), "its raw parts in turn"),
        Row(what, ours_p50, "ms", sum(in_loops), "each of its raw parts in a loop"),
        Row("  of it in turn: an event's round trip that does nothing", in_turn[0], "ms"),
        Row("  of it in turn: one transaction", in_turn[1], "ms"),
        Row("  of it in turn: one publish", in_turn[2], "ms"),
    ]


async def send_event(
    socket: aiohttp.ClientWebSocketResponse, ack: int, event: str, data: Any
) -> None:
    await socket.send_json(
        {"type": "event", "event": event, "ackId": ack, "dataType": "json", "data": data}
    )


async def until_ack(socket: aiohttp.ClientWebSocketResponse, ack: int) -> None:
    while (await socket.receive_json()).get("ackId") != ack:
        pass


async def until_message(socket: aiohttp.ClientWebSocketResponse) -> None:
    while (await socket.receive_json()).get("data", {}).get("type") != "message":
        pass


async def event_round_trip(socket: aiohttp.ClientWebSocketResponse, room: str) -> None:
    """An event without an effect: only the round trip to the app."""
    ack = 1_000_000 + time.perf_counter_ns() % 1_000_000_000
    await send_event(socket, ack, "leave", {"room": f"{room}-not-here"})
    await until_ack(socket, ack)


async def commit(logs: LogStore, name: str) -> None:
    draft = MessageDraft("ann", uuid.uuid4().hex, content="hi")
    await logs.commit(name, await logs.cached_head(name), [draft], datetime.now(UTC))


async def medians(act: Act, times: int = 200) -> float:
    """The median duration of an operation in milliseconds."""
    (median,) = await medians_in_turn([act], times)
    return median


async def medians_in_turn(acts: Sequence[Act], times: int) -> list[float]:
    """The median durations of operations that take turns, as in the handling of a message.

    In a loop of one operation its processes do not sleep and stay in the processor's caches. Then
    a transaction takes half to two thirds of the time that it takes in an idle system.
    """
    took: list[list[float]] = [[] for _ in acts]
    for _ in range(times):
        for act, durations in zip(acts, took, strict=True):
            began = time.perf_counter()
            await act()
            durations.append((time.perf_counter() - began) * 1000)
    return [statistics.median(durations) for durations in took]


# --- pages ------------------------------------------------------------------------------------


async def pages(ours: Stack) -> list[Row]:
    """The newest page of a long history, compared with that of a short one."""
    tables = connect_tables(settings_of(ours))
    logs = LogStore(tables)
    for name, count in (("long", LONG), ("short", SHORT)):
        await fill(tables, logs, name, count)
    history = History(logs)
    long = await medians(lambda: history.read_page("long", 50), 100)
    short = await medians(lambda: history.read_page("short", 50), 100)
    await tables.close()
    return [Row(f"newest page of {LONG:,} messages: p50", long, "ms", short, f"of {SHORT}")]


async def fill(tables: Tables, logs: LogStore, name: str, count: int) -> None:
    """A log with that many messages: rows written directly, and a last message by a commit."""
    table = tables.open("history")
    draft = MessageDraft("ann", "first", content="A line of a long history.")
    commit = await logs.commit(name, Head(), [draft], datetime.now(UTC))
    row = {
        "PartitionKey": name,
        "epoch": commit.head.epoch,
        "id": "0",
        "sender": "ann",
        "name": "Ann",
        "ordinal": int64(1),
        "content": draft.content,
        "timestamp": "2026-01-01T00:00:00.000Z",
    }
    for start in range(2, count, 100):
        seqs = range(start, min(start + 100, count))
        await table.submit([Replace({**row, "RowKey": f"m:{seq:019}"}) for seq in seqs])
    head = replace(await logs.read_head(name), seq=count - 1)
    last = MessageDraft("ann", "last", content="The last line.")
    await logs.commit(name, head, [last], datetime.now(UTC))
