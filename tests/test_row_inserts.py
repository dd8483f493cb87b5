"""Rows of concurrent callers are inserted together, and each caller learns the outcome."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import cast

import pytest
from azure.core.exceptions import ServiceRequestError

from realtime.azure.operations import Operation
from realtime.azure.row_inserts import RowInserts
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
    inserts = RowInserts(lambda: cast("Table", table))
    rows = rows_of(partition, count)
    first = asyncio.create_task(inserts.insert(rows[0]))
    await table.is_called.wait()

    await asyncio.gather(first, *(inserts.insert(row) for row in rows[1:]))

    assert await read_keys(one, partition) == [row["RowKey"] for row in rows]
    assert table.sizes == sizes


async def test_each_caller_gets_the_error_of_its_transaction(one: Instance) -> None:
    partition = uuid.uuid4().hex
    table = RecordedTable(one.tables.open("audit"), failures=1)
    inserts = RowInserts(lambda: cast("Table", table))
    rows = rows_of(partition, 3)

    outcomes = await asyncio.gather(*(inserts.insert(row) for row in rows), return_exceptions=True)
    await inserts.insert(rows[0])

    assert [type(one) for one in outcomes] == [ServiceRequestError] * 3
    assert await read_keys(one, partition) == ["0000"]


async def test_a_cancelled_caller_does_not_cancel_the_others(one: Instance) -> None:
    partition = uuid.uuid4().hex
    inserts = RowInserts(lambda: one.tables.open("audit"))
    rows = rows_of(partition, 3)
    tasks = [asyncio.create_task(inserts.insert(row)) for row in rows]
    await asyncio.sleep(0)

    tasks[1].cancel()
    await asyncio.gather(tasks[0], tasks[2])

    assert {"0000", "0002"} <= set(await read_keys(one, partition))
