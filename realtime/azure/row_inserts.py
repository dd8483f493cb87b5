"""Inserts rows into one partition: the rows of concurrent callers share a transaction."""

import asyncio
from collections import deque
from collections.abc import Callable

from realtime.azure.operations import Replace
from realtime.azure.tables import Row, Table
from realtime.azure.transactions import MAX_OPERATIONS


class RowInserts:
    """While a transaction is in flight, further rows wait and are inserted together by the next.

    All rows have the same partition key, each a row key of its own that is not repeated.
    """

    def __init__(self, open_table: Callable[[], Table]) -> None:
        self._open_table = open_table
        self._waiting: deque[tuple[Row, asyncio.Future[None]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def insert(self, row: Row) -> None:
        """Returns when the row is stored. Raises the errors of azure-core."""
        inserted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, inserted))
        if self._task is None:
            self._task = asyncio.create_task(self._insert_waiting())
        await inserted

    async def _insert_waiting(self) -> None:
        try:
            while self._waiting:
                count = min(len(self._waiting), MAX_OPERATIONS)
                await self._insert_together([self._waiting.popleft() for _ in range(count)])
        finally:
            self._task = None

    async def _insert_together(self, batch: list[tuple[Row, asyncio.Future[None]]]) -> None:
        """An error is that of each caller."""
        try:
            # Replace, because a transaction that is repeated after a lost response finds its rows.
            await self._open_table().submit([Replace(row) for row, _ in batch])
        except BaseException as error:
            for _, inserted in batch:
                if not inserted.done():
                    inserted.set_exception(error)
                    inserted.exception()  # The caller may be gone; then nobody reads it.
            if not isinstance(error, Exception):
                raise
        else:
            for _, inserted in batch:
                if not inserted.done():
                    inserted.set_result(None)
