"""Tables are created at the first write, and again after they were deleted."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables.aio import TableServiceClient

from local.parts import Stack
from realtime.azure.operations import Insert
from realtime.azure.tables import Tables, connect_tables
from realtime.settings import Settings


@pytest.fixture
async def service(stack: Stack) -> AsyncIterator[TableServiceClient]:
    async with TableServiceClient.from_connection_string(stack.tables_connection_string) as service:
        yield service


@pytest.fixture
async def tables(stack: Stack) -> AsyncIterator[Tables]:
    settings = Settings(tables_connection_string=stack.tables_connection_string)
    tables = connect_tables(settings)
    yield tables
    await tables.close()


def new_table_name() -> str:
    return f"t{uuid.uuid4().hex}"


def row(key: str) -> dict[str, str]:
    return {"PartitionKey": "p", "RowKey": key}


async def test_concurrent_first_writes_to_a_table_all_succeed(tables: Tables) -> None:
    table = tables.open(new_table_name())

    await asyncio.gather(*(table.create_entity(row(str(number))) for number in range(8)))

    assert [one["RowKey"] async for one in table.list_entities()] == list("01234567")


async def test_a_transaction_creates_its_table(tables: Tables) -> None:
    table = tables.open(new_table_name())

    (etag,) = await table.submit([Insert(row("1"))])

    assert (await table.get_entity("p", "1")).metadata["etag"] == etag


async def test_a_deleted_table_is_created_again_by_the_next_write(
    tables: Tables, service: TableServiceClient
) -> None:
    name = new_table_name()
    table = tables.open(name)
    await table.upsert_entity(row("before"))

    await service.delete_table(name)
    await table.upsert_entity(row("after"))

    assert [one["RowKey"] async for one in table.list_entities()] == ["after"]


async def test_reads_of_a_table_that_does_not_exist_find_nothing(tables: Tables) -> None:
    table = tables.open(new_table_name())

    assert [one async for one in table.query_entities("PartitionKey eq 'p'")] == []
    with pytest.raises(ResourceNotFoundError):
        await table.get_entity("p", "1")


async def test_a_ping_reads_each_table_and_needs_only_row_permissions(
    tables: Tables, service: TableServiceClient
) -> None:
    await service.delete_table("presence")

    await tables.ping()

    assert "presence" in {table.name async for table in service.list_tables()}
