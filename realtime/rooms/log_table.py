"""The table `history`: its rows, without what they mean."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableTransactionError

from realtime.azure.operations import Delete, Replace
from realtime.azure.tables import Row, Table, Tables
from realtime.azure.transactions import MAX_OPERATIONS


class LogTable:
    """Reads and deletes rows. One partition is one log."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def _table(self) -> Table:
        return self._tables.open("history")

    async def scan_names(self) -> AsyncIterator[str]:
        """The names of all logs that have a head. Reads the whole table."""
        heads = self._table().query_entities("RowKey eq 'head'", select=["PartitionKey"])
        async for row in heads:
            yield row["PartitionKey"]

    async def find_row(self, name: str, key: str) -> Row | None:
        try:
            row: Row = await self._table().get_entity(name, key)
        except ResourceNotFoundError:
            return None
        return row

    async def query_rows(
        self, name: str, low: str, high: str, **options: Any
    ) -> AsyncIterator[Row]:
        """The rows with keys from `low` up to but not including `high`, in their order."""
        rows = self._table().query_entities(
            "PartitionKey eq @log and RowKey ge @low and RowKey lt @high",
            parameters={"log": name, "low": low, "high": high},
            **options,
        )
        async for row in rows:
            yield row

    async def delete_rows(self, name: str, keys: Sequence[str]) -> None:
        """Delete rows; those that do not exist are passed over."""
        for start in range(0, len(keys), MAX_OPERATIONS):
            some = keys[start : start + MAX_OPERATIONS]
            try:
                await self._table().submit([Delete(name, key) for key in some])
            except TableTransactionError:  # A row is missing: an earlier run was interrupted.
                await asyncio.gather(*(self._table().delete_entity(name, key) for key in some))

    async def replace_row(self, row: Row, etag: str) -> None:
        """Replace a row that has this etag. Raises TableTransactionError."""
        await self._table().submit([Replace(row, etag)])
