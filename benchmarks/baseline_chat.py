"""What the history is measured against: three plain ways to take a message into a room.

`/plain/...` stores each message by itself: it reads the head, writes head and message in one
transaction, tries again when another request was faster, and publishes. `/locked/...` has a lock
for each room and caches the head, so nothing is read and no race is lost: still one transaction a
message. `/article/...` is the sync route that stores nothing and only publishes, as chat tutorials
have it.
"""

import asyncio
import contextlib
import os
import random
from collections import defaultdict
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableTransactionError
from azure.data.tables.aio import TableServiceClient
from azure.messaging.webpubsubservice import WebPubSubServiceClient as SyncClient
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient
from fastapi import FastAPI, Request

TABLES = os.environ["TABLES_CONNECTION_STRING"]
SERVICE = os.environ["WEBPUBSUB_CONNECTION_STRING"]
HUB = "townsquare"

sync_client = SyncClient.from_connection_string(SERVICE, hub=HUB)
clients: dict[str, Any] = {}
locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
heads: dict[str, tuple[int, str]] = {}  # the seq and the etag of a room's head


@asynccontextmanager
async def lifespan(_: FastAPI) -> Any:
    service = TableServiceClient.from_connection_string(TABLES)
    clients["table"] = await service.create_table_if_not_exists("plain")
    clients["hub"] = WebPubSubServiceClient.from_connection_string(SERVICE, hub=HUB)
    yield
    await service.close()
    await clients["hub"].close()


app = FastAPI(lifespan=lifespan)


@app.post("/plain/rooms/{room}/message")
async def plain(room: str, request: Request) -> dict[str, Any]:
    """One message, one read, one transaction, one publish."""
    request_body = await request.json()
    seq = await commit(clients["table"], room, request_body)
    message = {"type": "message", "room": room, "seq": seq, "content": request_body["content"]}
    await clients["hub"].send_to_group(f"room.{room}", message, content_type="application/json")
    return {"status": "sent", "room": room, "seq": seq, "id": request_body["id"]}


@app.post("/locked/rooms/{room}/message")
async def locked(room: str, request: Request) -> dict[str, Any]:
    """One message, one transaction, one publish; the messages of a room one after the other."""
    request_body = await request.json()
    async with locks[room]:
        seq, etag = heads.get(room) or (0, "")
        heads[room] = await write(clients["table"], room, request_body, seq + 1, etag)
        seq = heads[room][0]
    message = {"type": "message", "room": room, "seq": seq, "content": request_body["content"]}
    await clients["hub"].send_to_group(f"room.{room}", message, content_type="application/json")
    return {"status": "sent", "room": room, "seq": seq, "id": request_body["id"]}


async def commit(table: Any, room: str, request_body: dict[str, Any]) -> int:
    while True:
        seq, etag = 0, ""
        with contextlib.suppress(ResourceNotFoundError):
            found = await table.get_entity(room, "head")
            seq, etag = found["seq"], found.metadata["etag"]
        try:
            return (await write(table, room, request_body, seq + 1, etag))[0]
        except TableTransactionError as error:
            if error.status_code not in {409, 412}:
                raise
            await asyncio.sleep(random.random() * 0.05)


async def write(
    table: Any, room: str, request_body: dict[str, Any], seq: int, etag: str
) -> tuple[int, str]:
    """Write the head and a message in one transaction; the seq, and the new etag of the head."""
    head = {"PartitionKey": room, "RowKey": "head", "seq": seq}
    condition = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
    row = {
        "PartitionKey": room,
        "RowKey": f"m:{seq:019}",
        "id": request_body["id"],
        "sender": request_body["from"],
        "content": request_body["content"],
        "timestamp": datetime.now(UTC).isoformat(),
    }
    known = {"PartitionKey": room, "RowKey": f"i:{request_body['from']}:{request_body['id']}"}
    first: Any = ("update", head, condition) if etag else ("create", head)
    results = await table.submit_transaction([first, ("create", row), ("create", known)])
    return seq, results[0]["etag"]


@app.post("/article/rooms/{room}/message")
def article(room: str, request_body: dict[str, Any]) -> dict[str, Any]:
    """Publish without storing, in a thread."""
    message = {"type": "message", "room": room, "content": request_body["content"]}
    sync_client.send_to_group(f"room.{room}", message, content_type="application/json")
    return {"status": "sent", "room": room}
