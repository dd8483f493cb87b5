"""Writes of single rows: those of concurrent callers to one partition share a transaction."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from azure.data.tables import TableTransactionError

from realtime.azure.operations import Delete, Insert, Operation
from realtime.azure.tables import Table
from realtime.azure.transactions import MAX_OPERATIONS
from realtime.concurrency import gather_limited

MAX_SHARED_ATTEMPTS = 3
"""How often a transaction that fails because of some rows is sent again without them. Then the
others are written one by one: another instance writes the same rows at the same time."""

Write = tuple[Operation, "asyncio.Future[bool]"]


class RowWrites:
    """While a transaction is in flight, further writes to its partition wait and go together.

    The writes to one row are done one after another.
    """

    def __init__(self, open_table: Callable[[], Table]) -> None:
        self._open_table = open_table
        self._waiting: dict[str, deque[Write]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, operation: Operation) -> bool:
        """Whether it has changed the table: not the insert of a row that exists, and not the
        deletion of one that does not. Raises the other errors of azure-core.
        """
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        partition = operation.partition_key
        if partition not in self._waiting:
            self._waiting[partition] = deque()
            task = asyncio.create_task(self._write_waiting(partition))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._waiting[partition].append((operation, done))
        return await done

    async def _write_waiting(self, partition: str) -> None:
        waiting = self._waiting[partition]
        try:
            while waiting:
                await self._write(_take_batch(waiting))
        finally:
            del self._waiting[partition]
            for _, done in waiting:  # This task is cancelled.
                done.cancel()

    async def _write(self, batch: Sequence[Write]) -> None:
        """Write a batch. An error is that of each caller."""
        try:
            await self._write_together(batch)
        except BaseException as error:
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
                    done.exception()  # The caller may be gone; then nobody reads it.
            if not isinstance(error, Exception):
                raise

    async def _write_together(self, batch: Sequence[Write]) -> None:
        for _ in range(MAX_SHARED_ATTEMPTS):
            try:
                await self._open_table().submit([operation for operation, _ in batch])
            except TableTransactionError as error:
                if error.status_code not in {404, 409}:
                    raise
                if len(batch) == 1:
                    if not _has_no_effect(batch[0][0], exists=error.status_code == 409):
                        raise
                    _resolve(batch, changed=False)
                    return
                batch = await self._resolve_known(batch)
            else:
                _resolve(batch, changed=True)
                return
            if not batch:
                return
        await gather_limited(self._write([one]) for one in batch)

    async def _resolve_known(self, batch: Sequence[Write]) -> list[Write]:
        """The writes of a failed transaction without those that the present rows make needless."""
        keys = sorted(_row_key(operation) for operation, _ in batch)
        rows = self._open_table().query_entities(
            "PartitionKey eq @partition and RowKey ge @first and RowKey le @last",
            parameters={
                "partition": batch[0][0].partition_key,
                "first": keys[0],
                "last": keys[-1],
            },
            select=["RowKey"],
        )
        existing = {row["RowKey"] async for row in rows}
        needless = [
            one for one in batch if _has_no_effect(one[0], exists=_row_key(one[0]) in existing)
        ]
        _resolve(needless, changed=False)
        return [one for one in batch if one not in needless]


def _take_batch(waiting: deque[Write]) -> list[Write]:
    """A transaction can have each row only once."""
    batch: list[Write] = []
    keys: set[str] = set()
    while waiting and len(batch) < MAX_OPERATIONS and _row_key(waiting[0][0]) not in keys:
        batch.append(waiting.popleft())
        keys.add(_row_key(batch[-1][0]))
    return batch


def _has_no_effect(operation: Operation, *, exists: bool) -> bool:
    return isinstance(operation, Insert) if exists else isinstance(operation, Delete)


def _resolve(writes: Iterable[Write], *, changed: bool) -> None:
    for _, done in writes:
        if not done.done():  # else the caller was cancelled
            done.set_result(changed)


def _row_key(operation: Operation) -> str:
    if isinstance(operation, Delete):
        return operation.row_key
    return str(operation.entity["RowKey"])
