"""Instances of the app inside a test: own clients on the storage and service of the stack."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from realtime.azure.tables import connect_tables
from realtime.azure.web_pubsub import connect_hub
from realtime.rooms.appender import Appender
from realtime.rooms.drafts import MessageDraft
from realtime.rooms.history import History
from realtime.rooms.log import LogStore
from realtime.rooms.presence import Presence
from realtime.rooms.publisher import LogPublisher
from realtime.settings import Settings


class Instance:
    """The services of one instance."""

    def __init__(self, settings: Settings, *, now: datetime | None = None) -> None:
        self.time = now
        self.tables = connect_tables(settings)
        self.hub = connect_hub(settings)
        self.logs = LogStore(self.tables)
        chance = random.Random(1).random
        self.appender = Appender(self.logs, LogPublisher(self.hub), now=self.now, chance=chance)
        self.history = History(self.logs)
        self.presence = Presence(self.tables, self.hub, sleep=sleep_no_time)

    def now(self) -> datetime:
        return self.time or datetime.now(UTC)

    async def close(self) -> None:
        await self.tables.close()
        await self.hub.close()


async def sleep_no_time(_: float) -> None:
    """A sleep that returns at once."""


@asynccontextmanager
async def instance(stack: Any, *, tables: str = "", hub: str = "") -> AsyncIterator[Instance]:
    """An instance on the stack; `tables` and `hub` replace the stack's connection strings."""
    one = Instance(
        Settings(
            tables_connection_string=tables or stack.tables_connection_string,
            webpubsub_connection_string=hub or stack.webpubsub_connection_string,
        )
    )
    try:
        yield one
    finally:
        await one.close()


async def append(one: Instance, room: str, *numbers: int) -> None:
    """Store messages whose ids and contents are the numbers."""
    for number in numbers:
        await one.appender.append(room, MessageDraft("ann", str(number), content=str(number)))
