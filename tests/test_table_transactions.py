"""Transactions of Table Storage: the same rows, requests and errors as those of the SDK."""

import asyncio
import email
import json
import logging
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
)
from azure.data.tables import (
    EdmType,
    EntityProperty,
    RequestTooLargeError,
    TableTransactionError,
    UpdateMode,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime.azure.operations import Delete, Insert, Merge, Operation, Replace
from realtime.azure.transactions import TransactionClient
from tests.stand_in import stand_in
from tests.table_service import (
    KEY,
    NEW,
    ROW,
    connect,
    error_response,
    new_name,
    run_azurite,
)


@pytest.fixture(scope="module")
def azurite() -> Iterator[str]:
    with run_azurite() as url:
        yield url


# --- written rows -------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    ["", "'", "''", '"\\/', "\r\n--batch", "\x00\x1f\x7f", "é\u2028🎉", "x" * 30_000, "🎉" * 5_000]
)
KEYS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\#?"), max_size=40
)
VALUES = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: EntityProperty(value, EdmType.INT64)),
    st.floats(),
    st.floats().map(lambda value: EntityProperty(value, EdmType.DOUBLE)),
    st.binary(max_size=60),
    st.datetimes(min_value=datetime(1601, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.uuids(),
    st.none(),
)
NAMES = st.from_regex("[a-z][A-Za-z0-9_]{0,20}", fullmatch=True).filter(
    lambda name: name not in {"etag", "id"}
)
ENTITIES = st.dictionaries(NAMES, VALUES, max_size=6)
KINDS = st.sampled_from([Insert, Replace, Merge])
BATCHES = st.dictionaries(KEYS, st.tuples(KINDS, ENTITIES), min_size=1, max_size=8)


def as_sdk(operation: Operation) -> tuple[Any, ...]:
    """The same operation for the SDK."""
    match operation:
        case Insert(entity):
            return ("create", entity)
        case Delete(partition_key, row_key):
            return ("delete", {"PartitionKey": partition_key, "RowKey": row_key})
        case Replace(entity, etag) | Merge(entity, etag):
            mode = UpdateMode.REPLACE if isinstance(operation, Replace) else UpdateMode.MERGE
            if etag is None:
                return ("upsert", entity, {"mode": mode})
            condition = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
            return ("update", entity, {"mode": mode, **condition})


def comparable(entity: dict[str, Any]) -> dict[str, Any]:
    """NaN is replaced, because it is not equal to itself."""
    return {
        name: "NaN" if isinstance(value, float) and math.isnan(value) else value
        for name, value in entity.items()
    }


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(partition=KEYS, batch=BATCHES)
def test_written_rows_equal_the_rows_written_by_the_sdk(
    azurite: str, partition: str, batch: dict[str, Any]
) -> None:
    operations: list[Operation] = [
        kind({"PartitionKey": partition, "RowKey": row_key, **values})
        for row_key, (kind, values) in batch.items()
    ]

    async def write_and_read() -> list[list[dict[str, Any]]]:
        async with connect(azurite) as (ours, service):
            tables = [await service.create_table(new_name()) for _ in range(2)]
            etags = await ours.submit(tables[0].table_name, operations)
            await tables[1].submit_transaction([as_sdk(operation) for operation in operations])
            rows = [[row async for row in table.list_entities()] for table in tables]
            assert sorted(etags) == sorted(row.metadata["etag"] for row in rows[0])
            for table in tables:
                await table.delete_table()
            return [[comparable(row) for row in table] for table in rows]

    written, expected = asyncio.run(write_and_read())

    assert len(written) == len(operations)
    assert written == expected


@settings(max_examples=60, deadline=None)
@given(
    batch=BATCHES,
    etags=st.lists(st.none() | st.just("W/\"datetime'2026-11-21T14%3A26%3A21.5Z'\""), min_size=8),
    deleted=st.lists(KEYS, max_size=3, unique=True),
)
def test_a_batch_request_equals_the_request_of_the_sdk(
    batch: dict[str, Any], etags: list[str | None], deleted: list[str]
) -> None:
    operations: list[Operation] = []
    for etag, (row_key, (kind, values)) in zip(etags, batch.items(), strict=False):
        entity = {"PartitionKey": 'it\'s / a "room"', "RowKey": row_key, **values}
        operations.append(Insert(entity) if kind is Insert else kind(entity, etag))
    operations += [Delete('it\'s / a "room"', key) for key in deleted if key not in batch]

    async def send() -> tuple[list[web.BaseRequest], list[bytes]]:
        async with (
            stand_in(lambda: web.Response(status=400)) as server,
            connect(server.url) as (ours, service),
        ):
            with pytest.raises(HttpResponseError):
                await ours.submit("history", operations)
            with pytest.raises(HttpResponseError):
                await service.get_table_client("history").submit_transaction(
                    [as_sdk(operation) for operation in operations]
                )
            return server.requests, server.bodies

    (ours, theirs), bodies = asyncio.run(send())

    assert ours.raw_path == theirs.raw_path
    for header in ("x-ms-version", "DataServiceVersion", "MaxDataServiceVersion", "Accept"):
        assert ours.headers[header] == theirs.headers[header]
    sent, expected = (
        parse_batch(request.headers["Content-Type"], body)
        for request, body in zip((ours, theirs), bodies, strict=True)
    )
    assert sent == expected
    assert bodies[0].isascii()


def parse_batch(content_type: str, body: bytes) -> list[tuple[Any, ...]]:
    """The operations of a batch, parsed with the standard library: a tuple for each."""
    batch = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    (changeset,) = batch.get_payload()
    assert changeset.get_content_type() == "multipart/mixed"
    return [parse_operation(part) for part in changeset.get_payload()]


def parse_operation(part: Any) -> tuple[Any, ...]:
    assert part.get_content_type() == "application/http"
    assert part["Content-Transfer-Encoding"] == "binary"
    request, _, rest = part.get_payload().partition("\n")
    method, url, version = request.split()
    inner = email.message_from_string(rest)
    content = inner.get_payload().strip()
    if content:
        assert inner["Content-Type"] == "application/json"
        assert int(inner["Content-Length"]) == len(content)
    entity = json.loads(content) if content else {}
    typed = {
        name: (value, entity.get(f"{name}@odata.type") or implied_type(value))
        for name, value in entity.items()
        if not name.endswith("@odata.type")
    }
    return method, url, version, inner["DataServiceVersion"], inner["If-Match"], typed


def implied_type(value: Any) -> str:
    """learn.microsoft.com/rest/api/storageservices/payload-format-for-table-service-operations"""
    return {str: "Edm.String", bool: "Edm.Boolean", int: "Edm.Int32"}[type(value)]


async def test_a_datetime_keeps_its_precision_when_written_back(azurite: str) -> None:
    async with connect(azurite) as (ours, service):
        table = await service.create_table(new_name())
        value = EntityProperty("2026-11-21T14:26:21.1234567Z", EdmType.DATETIME)
        await ours.submit(table.table_name, [Insert({**ROW, "at": value})])
        read = await table.get_entity("room", "head")
        await ours.submit(table.table_name, [Replace(dict(read))])
        again = await table.get_entity("room", "head")

        assert again["at"].tables_service_value == "2026-11-21T14:26:21.1234567Z"


async def test_each_operation_has_its_documented_effect(azurite: str) -> None:
    async with connect(azurite) as (ours, service):
        table = await service.create_table(new_name())

        (first,) = await ours.submit(table.table_name, [Insert({**ROW, "a": 1, "b": 1})])
        merged, deleted = (
            {"PartitionKey": "room", "RowKey": "head", "b": 2},
            {"PartitionKey": "room", "RowKey": "other"},
        )
        (second, _) = await ours.submit(table.table_name, [Merge(merged, first), Insert(deleted)])
        after_merge = await table.get_entity("room", "head")
        (third, nothing) = await ours.submit(
            table.table_name, [Replace(merged, second), Delete("room", "other")]
        )
        rows = [row async for row in table.list_entities()]

        assert after_merge == {**ROW, "a": 1, "b": 2}
        assert rows == [merged]
        assert rows[0].metadata["etag"] == third
        assert nothing == ""


async def test_a_full_transaction_of_large_rows_is_written(azurite: str) -> None:
    async with connect(azurite) as (ours, service):
        table = await service.create_table(new_name())
        rows = [
            {"PartitionKey": "room", "RowKey": f"{i:03}", "text": "é" * 1_500} for i in range(100)
        ]

        etags = await ours.submit(table.table_name, [Insert(row) for row in rows])

        read = [row async for row in table.list_entities()]
        assert read == rows
        assert etags == [row.metadata["etag"] for row in read]


# --- invalid transactions -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "operations", "reason"),
    [
        ("history", [], "1 to 100 operations"),
        ("history", [Delete("room", str(i)) for i in range(101)], "1 to 100 operations"),
        ("history", [Delete("a", "1"), Delete("b", "1")], "one partition"),
        ("hi", [Insert(ROW)], "table's name"),
        ("history)?x", [Insert(ROW)], "table's name"),
        ("history", [Delete("room", "1", "W/\r\nx")], "etag"),
        ("history", [Replace(ROW, "")], "etag"),
        (
            "history",
            [
                Insert({**ROW, "RowKey": f"{i}", **{f"v{j}": "x" * 32_000 for j in range(15)}})
                for i in range(10)
            ],
            "4194304 bytes",
        ),
    ],
    ids=["none", "101", "two partitions", "short name", "odd name", "etag", "no etag", "4 MiB"],
)
async def test_an_invalid_transaction_is_rejected_with_the_reason(
    table: str, operations: list[Operation], reason: str
) -> None:
    async with connect("http://127.0.0.1:1") as (ours, _):
        with pytest.raises(ValueError, match=reason):
            await ours.submit(table, operations)


@pytest.mark.parametrize(
    "entity",
    [
        {"PartitionKey": "room"},
        {"PartitionKey": 5, "RowKey": "head"},
        {**ROW, "seq": 2**31},
        {**ROW, "seq": EntityProperty(2**63, EdmType.INT64)},
        {**ROW, "text": ["a", "list"]},
    ],
    ids=["no row key", "number as key", "33 bits", "65 bits", "list"],
)
async def test_an_invalid_row_is_rejected(entity: dict[str, Any]) -> None:
    async with connect("http://127.0.0.1:1") as (ours, _):
        with pytest.raises(TypeError):
            await ours.submit("history", [Insert(entity)])


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="http or https"):
        TransactionClient("account.table.core.windows.net", KEY)


# --- errors of the service ----------------------------------------------------------------------

STALE = "W/\"datetime'2020-01-01T00%3A00%3A00.0000000Z'\""


@pytest.mark.parametrize(
    ("operations", "status", "index", "code"),
    [
        ([Insert(ROW)], 409, 0, "EntityAlreadyExists"),
        ([Replace(NEW), Insert(ROW)], 409, 1, "EntityAlreadyExists"),
        ([Replace(ROW, STALE), Insert(NEW)], 412, 0, "UpdateConditionNotSatisfied"),
        ([Insert(NEW), Merge(ROW, STALE)], 412, 1, "UpdateConditionNotSatisfied"),
        ([Insert(NEW), Delete("room", "nobody")], 404, 1, "ResourceNotFound"),
        ([Insert(NEW), Replace({**ROW, "RowKey": "x"}, STALE)], 404, 1, "ResourceNotFound"),
        ([Insert(NEW), Insert({**ROW, "RowKey": "a/b"})], 400, 1, "InvalidInput"),
        ([Insert(NEW), Replace(NEW)], 400, 1, "InvalidDuplicateRow"),
        ([Insert(NEW), Insert({**ROW, "text": "x" * 33_000})], 400, 1, "PropertyValueTooLarge"),
    ],
)  # fmt: skip
async def test_a_failed_operation_raises_the_error_of_the_sdk_and_writes_nothing(
    azurite: str, operations: list[Operation], status: int, index: int, code: str
) -> None:
    async with connect(azurite) as (ours, service):
        table = await service.create_table(new_name())
        await table.create_entity(ROW)

        with pytest.raises(TableTransactionError) as raised:
            await ours.submit(table.table_name, operations)
        with pytest.raises(TableTransactionError) as by_sdk:
            await table.submit_transaction([as_sdk(operation) for operation in operations])

        for error in (raised.value, by_sdk.value):
            assert (error.status_code, error.index, error.error_code) == (status, index, code)
        assert [row async for row in table.list_entities()] == [ROW]


async def test_a_missing_table_raises_the_error_of_the_sdk(azurite: str) -> None:
    async with connect(azurite) as (ours, service):
        with pytest.raises(TableTransactionError) as raised:
            await ours.submit("missing", [Insert(ROW)])
        with pytest.raises(TableTransactionError) as by_sdk:
            await service.get_table_client("missing").submit_transaction([("create", ROW)])

    for error in (raised.value, by_sdk.value):
        assert (error.status_code, error.error_code) == (404, "TableNotFound")


@pytest.mark.parametrize("inside", [False, True])
async def test_a_transaction_that_is_too_large_raises_request_too_large(*, inside: bool) -> None:
    code = (
        '{"odata.error":{"code":"RequestBodyTooLarge","message":{"lang":"en-US","value":"0:Big."}}}'
    )
    made = error_response(413, code) if inside else web.Response(status=413, text=code)
    async with stand_in(lambda: made) as server, connect(server.url) as (ours, _):
        with pytest.raises(RequestTooLargeError) as raised:
            await ours.submit("history", [Insert(ROW)])

    error = raised.value
    assert (error.status_code, error.index, error.error_code) == (413, 0, "RequestBodyTooLarge")


async def test_errors_and_logs_contain_no_row_values_and_no_signature(
    azurite: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with connect(azurite) as (ours, service):
        table = await service.create_table(new_name())
        row = {**ROW, "text": "a private word"}
        await ours.submit(table.table_name, [Insert(row)])
        with pytest.raises(TableTransactionError) as raised:
            await ours.submit(table.table_name, [Insert(row)])

    assert "private" not in caplog.text + str(raised.value) + repr(raised.value)
    assert "SharedKey" not in caplog.text
