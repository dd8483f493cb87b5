"""Table Storage: one client for the process, and its tables made when first needed."""

import asyncio
from collections.abc import Awaitable, Iterable
from functools import cache
from typing import Any, TypeVar

from azure.data.tables.aio import TableClient, TableServiceClient

from realtime.settings import Settings, settings

Row = dict[str, Any]
T = TypeVar("T")

AT_ONCE = 8
"""How many look-ups of one request or timer run side by side."""


class Tables:
    """The app's tables by name: history, rooms, people, presence, streams."""

    def __init__(self, service: TableServiceClient) -> None:
        self._service = service
        self._made: dict[str, asyncio.Task[TableClient]] = {}

    async def __call__(self, name: str) -> TableClient:
        """A table that exists. Concurrent first callers share the one request that makes it."""
        if name not in self._made or failed(self._made[name]):
            self._made[name] = asyncio.ensure_future(self._make(name))
        return await asyncio.shield(self._made[name])

    async def _make(self, name: str) -> TableClient:
        return await self._service.create_table_if_not_exists(name)

    async def ping(self) -> None:
        """Raise unless the storage answers."""
        await self._service.get_service_properties()

    async def close(self) -> None:
        await self._service.close()


def failed(task: asyncio.Future[Any]) -> bool:
    """Whether what several callers share has come to nothing, so that the next begins anew."""
    return task.done() and (task.cancelled() or task.exception() is not None)


async def few_at_once(tasks: Iterable[Awaitable[T]]) -> list[T]:
    """What all of them return; storage and service are not asked everything at one moment."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(task: Awaitable[T]) -> T:
        async with gate:
            return await task

    return await asyncio.gather(*(one(task) for task in tasks))


def connect(settings: Settings) -> Tables:
    """By key where there is one, else by the app's managed identity."""
    if settings.tables_connection_string:
        return Tables(TableServiceClient.from_connection_string(settings.tables_connection_string))
    from azure.identity.aio import DefaultAzureCredential  # half a second of import

    return Tables(TableServiceClient(settings.tables_endpoint, credential=DefaultAzureCredential()))


@cache
def tables() -> Tables:
    """This process's tables."""
    return connect(settings())
