"""Table Storage: the client of this process; a table is created at its first use."""

import asyncio
from functools import cache
from typing import Any

from azure.data.tables.aio import TableClient, TableServiceClient

from realtime.concurrency import has_failed
from realtime.settings import Settings, settings

Row = dict[str, Any]


class Tables:
    """The app's tables by name. The file that owns a table is the only one that opens it."""

    def __init__(self, service: TableServiceClient) -> None:
        self._service = service
        self._created: dict[str, asyncio.Task[TableClient]] = {}

    async def open(self, name: str) -> TableClient:
        """A table that exists. Concurrent first callers share the request that creates it."""
        if name not in self._created or has_failed(self._created[name]):
            self._created[name] = asyncio.ensure_future(self._create(name))
        return await asyncio.shield(self._created[name])

    async def _create(self, name: str) -> TableClient:
        return await self._service.create_table_if_not_exists(name)

    async def ping(self) -> None:
        """Raise unless the storage answers."""
        await self._service.get_service_properties()

    async def close(self) -> None:
        await self._service.close()


def connect_tables(settings: Settings) -> Tables:
    """By connection string if there is one, else with the app's managed identity."""
    if settings.tables_connection_string:
        return Tables(TableServiceClient.from_connection_string(settings.tables_connection_string))
    from azure.identity.aio import DefaultAzureCredential  # its import takes half a second

    return Tables(TableServiceClient(settings.tables_endpoint, credential=DefaultAzureCredential()))


@cache
def tables() -> Tables:
    """The tables of this process."""
    return connect_tables(settings())
