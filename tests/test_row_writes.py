"""Rows of concurrent callers are written together, and each caller learns the outcome."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest
from azure.core.exceptions import ServiceRequestError

from realtime.azure.operations import Delete, Insert, Operation, Replace
from realtime.azure.row_writes import RowWrites
from realtime.azure.tables import Row, Table
from tests.instances import Instance


class RecordedTable:
    """A table that records the size of each transaction. The first ones fail."""

    def __init__(self, table: Table, failures: int = 0) -> None:
        self._table = table
        self._failures = failures
        self.sizes: list[int] = []
        self.is_called = asyncio.Event()

    async def submit(self, operations: Sequence[Operation]) -> list[str]:
        self.sizes.append(len(operations))
        self.is_called.set()
        if self._failures:
            self._failures -= 1
            raise ServiceRequestError("The storage cannot be reached.")
        return await self._table.submit(operations)

    def query_entities(self, query_filter: str, **options: Any) -> AsyncIterator[Any]:
        return self._table.query_entities(query_filter, **options)


def rows_of(partition: str, count: int) -> list[Row]:
    return [{"PartitionKey": partition, "RowKey": f"{n:04}", "action": "x"} for n in range(count)]


async def read_keys(one: Instance, partition: str) -> list[str]:
    query = one.tables.open("audit").query_entities(
        "PartitionKey eq @partition", parameters={"partition": partition}
    )
    return [row["RowKey"] async for row in query]


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (2, [1, 1]), (150, [1, 100, 49])])
async def test_concurrent_rows_share_a_transaction(
    one: Instance, count: int, sizes: list[int]
) -> None:
    partition = uuid.uuid4().hex
    table = RecordedTable(one.tables.open("audit"))
    writes = RowWrites(lambda: cast("Table", table))
    rows = rows_of(partition, count)
    first = asyncio.create_task(writes.submit(Replace(rows[0])))
    await table.is_called.wait()

    await asyncio.gather(first, *(writes.submit(Replace(row)) for row in rows[1:]))

    assert await read_keys(one, partition) == [row["RowKey"] for row in rows]
    assert table.sizes == sizes


async def test_each_caller_gets_the_error_of_its_transaction(one: Instance) -> None:
    partition = uuid.uuid4().hex
    table = RecordedTable(one.tables.open("audit"), failures=1)
    writes = RowWrites(lambda: cast("Table", table))
    rows = rows_of(partition, 3)

    outcomes = await asyncio.gather(
        *(writes.submit(Replace(row)) for row in rows), return_exceptions=True
    )
    await writes.submit(Replace(rows[0]))

    assert [type(one) for one in outcomes] == [ServiceRequestError] * 3
    assert await read_keys(one, partition) == ["0000"]


async def test_a_cancelled_caller_does_not_cancel_the_others(one: Instance) -> None:
    partition = uuid.uuid4().hex
    writes = RowWrites(lambda: one.tables.open("audit"))
    rows = rows_of(partition, 3)
    tasks = [asyncio.create_task(writes.submit(Replace(row))) for row in rows]
    await asyncio.sleep(0)

    tasks[1].cancel()
    await asyncio.gather(tasks[0], tasks[2])

    assert {"0000", "0002"} <= set(await read_keys(one, partition))


async def test_each_caller_learns_whether_its_write_has_changed_the_table(one: Instance) -> None:
    partition = uuid.uuid4().hex
    rows = rows_of(partition, 60)
    elsewhere = rows_of(f"{partition}-2", 3)
    writes = RowWrites(lambda: one.tables.open("audit"))
    await asyncio.gather(*(writes.submit(Insert(row)) for row in rows[::7]))
    table = RecordedTable(one.tables.open("audit"))
    writes = RowWrites(lambda: cast("Table", table))

    inserted = await asyncio.gather(
        *(writes.submit(Insert(row)) for row in [*rows, rows[1], *elsewhere])
    )
    deleted = await asyncio.gather(
        *(writes.submit(Delete(partition, f"{n:04}")) for n in (*range(50, 70), 55))
    )

    assert inserted == [*(n % 7 != 0 for n in range(60)), False, True, True, True]
    assert deleted == [*(n < 60 for n in range(50, 70)), False]
    assert await read_keys(one, partition) == [f"{n:04}" for n in range(50)]
    assert len(table.sizes) <= 8


async def test_a_row_that_another_instance_writes_meanwhile_is_found(one: Instance) -> None:
    """The row of every transaction exists when it is sent, and not when the rows are read."""
    partition = uuid.uuid4().hex
    rows = rows_of(partition, 4)
    table = one.tables.open("audit")

    one_at_a_time = asyncio.Lock()

    class Contended(RecordedTable):
        async def submit(self, operations: Sequence[Operation]) -> list[str]:
            async with one_at_a_time:
                await table.submit([Insert(rows[1])])
                try:
                    return await super().submit(operations)
                finally:
                    await table.submit([Delete(partition, "0001")])

    contended = Contended(table)
    writes = RowWrites(lambda: cast("Table", contended))

    outcomes = await asyncio.wait_for(
        asyncio.gather(*(writes.submit(Insert(row)) for row in rows)), 30
    )

    assert outcomes == [True, False, True, True]
    assert await read_keys(one, partition) == ["0000", "0002", "0003"]
