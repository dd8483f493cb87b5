"""The app's clients of Azure's services, compared with the SDKs with their defaults.

Operations of both alternate in one process, with the same Azurite and the same emulator. The time
of the servers is part of the elapsed time and not of the processor time, which is this process's.
"""

import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
from azure.core import MatchConditions
from azure.data.tables import EdmType, EntityProperty, UpdateMode
from azure.data.tables.aio import TableClient, TableServiceClient
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient

from benchmarks.table import Row
from local.parts import (
    HUB,
    environment_of,
    free_ports,
    start_tables,
    start_webpubsub,
    stop_all,
    write_event_handlers,
)
from realtime.azure.operations import Insert, Operation, Replace
from realtime.azure.publishing import Publisher
from realtime.azure.service_client import connect_with_key
from realtime.azure.transactions import TransactionClient
from realtime.azure.transport import make_transport

SDK = "SDK"
AT_ONCE = 50
"""Concurrent publishes or commits in the measurements of throughput."""

Act = Callable[[], Awaitable[object]]


async def run() -> list[Row]:
    tables_port, webpubsub_port = free_ports(2)
    with tempfile.TemporaryDirectory() as folder:
        parts = [
            start_tables(tables_port),
            start_webpubsub(webpubsub_port, write_event_handlers(Path(folder) / "hub.json", 1)),
        ]
        try:
            for part in parts:
                part.wait()
            settings = environment_of(parts[1].url, parts[0].url)
            async with AsyncExitStack() as stack:
                return [
                    *await measure_tables(settings["TABLES_CONNECTION_STRING"], stack),
                    *await measure_publishing(settings["WEBPUBSUB_CONNECTION_STRING"], stack),
                ]
        finally:
            stop_all(parts)


# --- Table Storage ------------------------------------------------------------------------------


async def measure_tables(connection_string: str, stack: AsyncExitStack) -> list[Row]:
    sdk = await stack.enter_async_context(
        TableServiceClient.from_connection_string(connection_string)
    )
    ours = await stack.enter_async_context(
        TableServiceClient.from_connection_string(
            connection_string, transport=make_transport(sdk.url)
        )
    )
    transactions = TransactionClient.for_service(sdk)
    stack.push_async_callback(transactions.close)
    table = await sdk.create_table_if_not_exists("history")
    rows = []
    for messages, times in ((1, 300), (49, 60)):
        rows += await compare(
            f"a commit of {messages}",
            OurLog(transactions, messages).commit,
            SdkLog(table, messages).commit,
            times,
        )
    rows.append(
        Row(
            f"commits of one message, {AT_ONCE} logs",
            await throughput([OurLog(transactions, 1).commit for _ in range(AT_ONCE)]),
            "/s",
            await throughput([SdkLog(table, 1).commit for _ in range(AT_ONCE)]),
            SDK,
        )
    )
    head = await table.upsert_entity({"PartitionKey": "read", "RowKey": "head", "seq": 1})
    assert head
    return rows + await compare(
        "a read through the SDK, our transport",
        lambda: ours.get_table_client("history").get_entity("read", "head"),
        lambda: table.get_entity("read", "head"),
        300,
    )


class OurLog:
    """A log of a room that grows by one commit at a time."""

    def __init__(self, client: TransactionClient, messages: int) -> None:
        self._client = client
        self._messages = messages
        self._name = uuid.uuid4().hex
        self._seq = 0
        self._etag: str | None = None

    async def commit(self) -> None:
        head, rows = make_rows(self._name, self._seq, self._messages)
        operations: list[Operation] = [Replace(head, self._etag)]
        for message, marker in rows:
            operations += [Replace(message), Insert(marker)]
        self._etag = (await self._client.submit("history", operations))[0]
        self._seq += self._messages


class SdkLog:
    """The same with azure-data-tables."""

    def __init__(self, table: TableClient, messages: int) -> None:
        self._table = table
        self._messages = messages
        self._name = uuid.uuid4().hex
        self._seq = 0
        self._etag = ""

    async def commit(self) -> None:
        head, rows = make_rows(self._name, self._seq, self._messages)
        replace = {"mode": UpdateMode.REPLACE}
        condition = {"etag": self._etag, "match_condition": MatchConditions.IfNotModified}
        operations: list[Any] = (
            [("update", head, {**replace, **condition})]
            if self._etag
            else [("upsert", head, replace)]
        )
        for message, marker in rows:
            operations += [("upsert", message, replace), ("create", marker)]
        self._etag = str((await self._table.submit_transaction(operations))[0]["etag"])
        self._seq += self._messages


Values = dict[str, Any]


def make_rows(name: str, seq: int, messages: int) -> tuple[Values, list[tuple[Values, Values]]]:
    """The head of a log and, for each message, its row and the row that marks its id."""
    common = {"PartitionKey": name, "epoch": "0a1b2c3d"}
    stamp = "2026-01-01T00:00:00.000Z"
    seqs = range(seq + 1, seq + messages + 1)
    head = {
        **common,
        "RowKey": "head",
        "seq": EntityProperty(seqs[-1], EdmType.INT64),
        "first": EntityProperty(1, EdmType.INT64),
        "timestamp": stamp,
    }
    rows = []
    for number in seqs:
        client_id = f"message-{number}"
        message = {
            **common,
            "RowKey": f"m:{number:019}",
            "id": client_id,
            "sender": "ann-22222222",
            "content": f"Message {number}: a line of an ordinary length, as people write them.",
            "timestamp": stamp,
        }
        marker = {
            **common,
            "RowKey": f"i:ann-22222222:{client_id}",
            "seq": EntityProperty(number, EdmType.INT64),
        }
        rows.append((message, marker))
    return head, rows


# --- Web PubSub -----------------------------------------------------------------------------------


async def measure_publishing(connection_string: str, stack: AsyncExitStack) -> list[Row]:
    sdk = await stack.enter_async_context(
        WebPubSubServiceClient.from_connection_string(connection_string, hub=HUB)
    )
    ours = await stack.enter_async_context(connect_with_key(connection_string, HUB))
    publisher = Publisher(ours, HUB)
    message = {"type": "message", "room": "lobby", "seq": 1, "content": "A line of a message."}

    def publish() -> Awaitable[object]:
        return publisher.send_to_group("room.lobby", msgspec.json.encode(message))

    def publish_by_sdk() -> Awaitable[object]:
        return sdk.send_to_group("room.lobby", message, content_type="application/json")

    return [
        *await compare("a publish", publish, publish_by_sdk, 300),
        Row(
            f"publishes, {AT_ONCE} at once",
            await throughput([publish] * AT_ONCE),
            "/s",
            await throughput([publish_by_sdk] * AT_ONCE),
            SDK,
        ),
    ]


# --- measuring ------------------------------------------------------------------------------------


async def compare(what: str, ours: Act, sdk: Act, times: int) -> list[Row]:
    """Elapsed and processor time of one operation, in milliseconds: medians of several runs."""
    for act in (ours, sdk):  # Connections are opened and code is loaded.
        await measure(act)
    turns = [(await measure(ours), await measure(sdk)) for _ in range(times)]
    rows = []
    for place, unit_of in enumerate(("p50", "processor, p50")):
        our_times, sdk_times = ([turn[side][place] for turn in turns] for side in (0, 1))
        rows.append(
            Row(
                f"{what}: {unit_of}",
                statistics.median(our_times),
                "ms",
                statistics.median(sdk_times),
                SDK,
            )
        )
    return rows


async def measure(act: Act) -> tuple[float, float]:
    """The time of one operation, in milliseconds: elapsed, and of this process's processor."""
    elapsed, processor = time.perf_counter(), time.process_time()
    await act()
    return (time.perf_counter() - elapsed) * 1000, (time.process_time() - processor) * 1000


async def throughput(acts: Sequence[Act], each: int = 10) -> float:
    """Operations per second when each of these is repeated, concurrently with the others."""

    async def repeat(act: Act) -> None:
        for _ in range(each):
            await act()

    await asyncio.gather(*(act() for act in acts))
    began = time.perf_counter()
    await asyncio.gather(*(repeat(act) for act in acts))
    return len(acts) * each / (time.perf_counter() - began)
