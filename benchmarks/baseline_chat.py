"""What the history is measured against: the two plain ways to take a message into a room.

`/plain/...` keeps each message by itself: it reads the head, writes head and message in one
transaction, tries again when somebody was faster, and publishes. `/article/...` is the sync route
that keeps nothing and only publishes, as chat tutorials have it.
"""

import asyncio
import os
import random
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
    said = await request.json()
    seq = await commit(clients["table"], room, said)
    message = {"type": "message", "room": room, "seq": seq, "content": said["content"]}
    await clients["hub"].send_to_group(f"room.{room}", message, content_type="application/json")
    return {"status": "sent", "room": room, "seq": seq, "id": said["id"]}


async def commit(table: Any, room: str, said: dict[str, Any]) -> int:
    while True:
        head: dict[str, Any] = {"PartitionKey": room, "RowKey": "head", "seq": 0}
        write: Any = ("create", head)
        try:
            found = await table.get_entity(room, "head")
        except ResourceNotFoundError:
            pass
        else:
            head["seq"] = found["seq"]
            condition = {
                "etag": found.metadata["etag"],
                "match_condition": MatchConditions.IfNotModified,
            }
            write = ("update", head, condition)
        head["seq"] += 1
        row = {
            "PartitionKey": room,
            "RowKey": f"m:{head['seq']:019}",
            "id": said["id"],
            "sender": said["from"],
            "content": said["content"],
            "timestamp": datetime.now(UTC).isoformat(),
        }
        known = {"PartitionKey": room, "RowKey": f"i:{said['from']}:{said['id']}"}
        try:
            await table.submit_transaction([write, ("create", row), ("create", known)])
        except TableTransactionError as error:
            if error.status_code not in {409, 412}:
                raise
            await asyncio.sleep(random.random() * 0.05)
        else:
            return int(head["seq"])


@app.post("/article/rooms/{room}/message")
def article(room: str, said: dict[str, Any]) -> dict[str, Any]:
    """Published and forgotten, on a thread."""
    message = {"type": "message", "room": room, "content": said["content"]}
    sync_client.send_to_group(f"room.{room}", message, content_type="application/json")
    return {"status": "sent", "room": room}
