"""Rows of any content and number are read as azure-data-tables reads them."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from aiohttp import web
from azure.core.exceptions import ClientAuthenticationError, ResourceNotFoundError
from azure.data.tables.aio import TableClient, TableServiceClient
from hypothesis import HealthCheck, given, settings

from local.parts import TABLES_ACCOUNT, Stack
from realtime.azure.operations import Insert
from realtime.azure.table_reads import TableReader, substitute_parameters
from realtime.azure.transactions import TransactionClient
from tests.stand_in import stand_in
from tests.test_table_transactions import ENTITIES, KEY, KEYS

ROW = {"PartitionKey": "p", "RowKey": "r", "text": "hello"}


@pytest.fixture
async def service(stack: Stack) -> AsyncIterator[TableServiceClient]:
    async with TableServiceClient.from_connection_string(stack.tables_connection_string) as service:
        yield service


@pytest.fixture
async def reader(service: TableServiceClient) -> AsyncIterator[TableReader]:
    reader = TableReader(service)
    yield reader
    await reader.close()


@pytest.fixture
async def table(service: TableServiceClient) -> TableClient:
    return await service.create_table(f"t{uuid.uuid4().hex}")


def described(row: Any) -> dict[str, Any]:
    """The properties with their types; a NaN is equal to a NaN here."""
    return {name: (type(value), repr(value)) for name, value in row.items()}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(partition=KEYS, key=KEYS, entity=ENTITIES)
def test_a_row_is_read_as_the_sdk_reads_it(
    stack: Stack, partition: str, key: str, entity: dict[str, Any]
) -> None:
    async def compare() -> None:
        async with TableServiceClient.from_connection_string(
            stack.tables_connection_string
        ) as service:
            table = await service.create_table(f"t{uuid.uuid4().hex}")
            reader, writer = TableReader(service), TransactionClient.for_service(service)
            row = {"PartitionKey": partition, "RowKey": key, **entity}
            (etag,) = await writer.submit(table.table_name, [Insert(row)])

            ours = await reader.read(table.table_name, partition, key)
            theirs = await table.get_entity(partition, key)
            (listed,) = [
                one
                async for one in reader.query(
                    table.table_name,
                    "PartitionKey eq @partition and RowKey eq @key",
                    parameters={"partition": partition, "key": key},
                )
            ]

            theirs = {name: plain(value) for name, value in theirs.items()}
            assert described(ours) == described(listed) == described(theirs)
            assert ours.metadata == listed.metadata
            assert ours.metadata["etag"] == etag
            await asyncio.gather(reader.close(), writer.close())

    asyncio.run(compare())


def plain(value: Any) -> Any:
    """A value of the SDK; its datetimes have their own class."""
    return datetime.fromisoformat(value.isoformat()) if isinstance(value, datetime) else value


async def test_a_query_reads_all_pages_in_the_order_of_the_keys(
    table: TableClient, reader: TableReader
) -> None:
    writes = [{"PartitionKey": "it's", "RowKey": f"{n:03}", "n": n, "other": 1} for n in range(40)]
    for one in [*writes, {"PartitionKey": "its", "RowKey": "1"}]:
        await table.create_entity(one)
    pages = []

    rows = [
        row
        async for row in reader.query(
            table.table_name,
            "PartitionKey eq @name and RowKey ge @low",
            parameters={"name": "it's", "low": "003"},
            select=["RowKey", "n"],
            results_per_page=10,
            raw_response_hook=pages.append,
        )
    ]

    assert rows == [{"RowKey": f"{n:03}", "n": n} for n in range(3, 40)]
    assert len(pages) == 4
    everything = [row async for row in reader.query(table.table_name, "")]
    assert len(everything) == 41
    assert {type(row.metadata["timestamp"]).__name__ for row in everything} == {"datetime"}


async def test_a_missing_row_and_a_missing_table_are_not_found(
    table: TableClient, reader: TableReader
) -> None:
    with pytest.raises(ResourceNotFoundError) as row:
        await reader.read(table.table_name, "p", "none")
    with pytest.raises(ResourceNotFoundError) as missing:
        await reader.read(f"t{uuid.uuid4().hex}", "p", "none")

    codes = [error.value.error_code for error in (row, missing)]  # type: ignore[attr-defined]
    assert codes == ["ResourceNotFound", "TableNotFound"]


async def test_a_wrong_key_is_rejected(stack: Stack) -> None:
    text = stack.tables_connection_string.replace("AccountKey=", "AccountKey=AAAA")
    async with TableServiceClient.from_connection_string(text) as service:
        reader = TableReader(service)
        with pytest.raises(ClientAuthenticationError):
            await reader.read("rooms", "p", "r")
        await reader.close()


def row_response() -> web.Response:
    return web.json_response({"odata.etag": "1", "text": "hello"})


async def test_a_read_is_repeated_after_a_lost_response_and_an_overload() -> None:
    def busy_response() -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "0"})

    async with (
        stand_in(lambda: None, busy_response, row_response) as server,
        TableServiceClient(f"{server.url}/{TABLES_ACCOUNT}", credential=KEY) as service,
    ):
        reader = TableReader(service)
        row = await reader.read("rooms", "p", "r")
        await reader.close()

        assert row == {"text": "hello"}
        assert len(server.requests) == 3
        # One request in the logs of the storage, whatever its attempts.
        assert len({one.headers["x-ms-client-request-id"] for one in server.requests}) == 1
        assert all("townsquare" in one.headers["User-Agent"] for one in server.requests)


@pytest.mark.parametrize(
    ("value", "literal"),
    [("a", "'a'"), ("x' or PartitionKey ne 'x", "'x'' or PartitionKey ne ''x'"), ("@b", "'@b'")],
)
def test_a_parameter_is_only_a_string(value: str, literal: str) -> None:
    assert substitute_parameters("A eq @a", {"a": value}) == f"A eq {literal}"
