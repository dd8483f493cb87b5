"""Transactions of Table Storage: authentication, and lost, late and invalid responses."""

import asyncio
import base64
import email
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.data.tables import (
    AccountSasPermissions,
    ResourceTypes,
    TableTransactionError,
    generate_account_sas,
)
from azure.data.tables.aio import TableServiceClient

from local.parts import TABLES_ACCOUNT, TABLES_KEY, free_ports
from realtime.azure.operations import Insert
from realtime.azure.transactions import TransactionClient
from realtime.azure.transport import make_transport
from tests.stand_in import ManagedIdentity, make_certificate, stand_in
from tests.table_service import (
    KEY,
    NEW,
    ROW,
    batch_response,
    connect,
    created_response,
    error_response,
    new_name,
    run_azurite,
)


@pytest.fixture(scope="module")
def azurite() -> Iterator[str]:
    with run_azurite() as url:
        yield url


# --- authentication -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/devstoreaccount1"], ids=["host style", "path style"])
async def test_a_request_is_signed_as_azure_documents_it(path: str) -> None:
    """learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key, Table service."""
    async with stand_in(created_response) as server:
        client = TransactionClient(server.url + path, KEY)
        await client.submit("history", [Insert(ROW)])
        await client.close()
    (request,) = server.requests

    assert request.raw_path == f"{path}/$batch"
    to_sign = (
        "POST\n"  # the verb
        "\n"  # Content-MD5
        f"{request.headers['Content-Type']}\n"
        f"{request.headers['x-ms-date']}\n"
        f"/{TABLES_ACCOUNT}{path}/$batch"
    )
    digest = hmac.new(base64.b64decode(TABLES_KEY), to_sign.encode(), hashlib.sha256).digest()
    expected = f"SharedKey {TABLES_ACCOUNT}:{base64.b64encode(digest).decode()}"
    assert request.headers["Authorization"] == expected
    date = email.utils.parsedate_to_datetime(request.headers["x-ms-date"])
    assert abs(datetime.now(UTC) - date) < timedelta(minutes=5)


async def test_a_wrong_key_is_an_authentication_error(azurite: str) -> None:
    key = AzureNamedKeyCredential(TABLES_ACCOUNT, base64.b64encode(b"another").decode())
    client = TransactionClient(f"{azurite}/{TABLES_ACCOUNT}", key)

    with pytest.raises(ClientAuthenticationError) as raised:
        await client.submit("history", [Insert(ROW)])
    await client.close()

    assert raised.value.status_code == 403


async def test_a_replaced_key_signs_the_next_request(azurite: str) -> None:
    key = AzureNamedKeyCredential(TABLES_ACCOUNT, base64.b64encode(b"another").decode())
    async with connect(azurite) as (_, service):
        table = await service.create_table(new_name())
    client = TransactionClient(f"{azurite}/{TABLES_ACCOUNT}", key)

    with pytest.raises(ClientAuthenticationError):
        await client.submit(table.table_name, [Insert(ROW)])
    key.update(TABLES_ACCOUNT, TABLES_KEY)
    (etag,) = await client.submit(table.table_name, [Insert(ROW)])
    await client.close()

    assert etag


@pytest.mark.parametrize("place", ["credential", "address"])
async def test_a_shared_access_signature_is_accepted(azurite: str, place: str) -> None:
    signature = generate_account_sas(
        KEY,
        ResourceTypes(service=True, object=True, container=True),
        AccountSasPermissions(read=True, write=True, add=True, update=True, delete=True),
        datetime.now(UTC) + timedelta(hours=1),
    )
    url = f"{azurite}/{TABLES_ACCOUNT}"
    async with connect(azurite) as (_, service):
        table = await service.create_table(new_name())
    if place == "credential":
        client = TransactionClient(url, AzureSasCredential(signature))
    else:
        client = TransactionClient.for_service(TableServiceClient(f"{url}?{signature}"))

    (etag,) = await client.submit(table.table_name, [Insert(ROW)])
    await client.close()

    assert etag


async def test_a_managed_identity_token_is_sent_and_requested_once(tmp_path: Path) -> None:
    certificate, trusted = make_certificate(tmp_path)
    identity = ManagedIdentity()
    async with stand_in(created_response, certificate=certificate) as server:
        transport = make_transport(server.url, connection_verify=str(trusted))
        client = TransactionClient(server.url, identity, transport=transport)
        for _ in range(3):
            await client.submit("history", [Insert(ROW)])
        await client.close()

    assert identity.scopes == ["https://storage.azure.com/.default"]
    for request in server.requests:
        assert request.headers["Authorization"] == "Bearer the-token"
        assert (
            request.headers["x-ms-version"] >= "2017-11-09"
        )  # the first version that accepts tokens
        assert request.headers["x-ms-date"]


async def test_a_token_is_never_sent_without_tls() -> None:
    async with stand_in(created_response) as server:
        client = TransactionClient(server.url, ManagedIdentity())
        with pytest.raises(ServiceRequestError):
            await client.submit("history", [Insert(ROW)])
        await client.close()

    assert server.requests == []


# --- lost, late and invalid responses -----------------------------------------------------------


async def test_a_lost_response_is_an_error_and_the_request_is_not_retried() -> None:
    async with stand_in(lambda: None) as server, connect(server.url) as (ours, _):
        with pytest.raises((ServiceRequestError, ServiceResponseError)):
            await ours.submit("history", [Insert(ROW)])

    assert len(server.requests) == 1


async def test_a_truncated_response_is_an_error() -> None:
    async def truncated() -> None:
        whole = created_response()
        whole.content_length = 4_000
        request = server.requests[-1]
        await whole.prepare(request)
        await whole.write_eof()
        return None  # noqa: RET501 - closes the connection

    async with stand_in(truncated) as server, connect(server.url) as (ours, _):
        with pytest.raises(AzureError):
            await ours.submit("history", [Insert(ROW)])

    assert len(server.requests) == 1


WHOLE = created_response().body.decode()


@pytest.mark.parametrize(
    "made",
    [
        lambda: batch_response(WHOLE, "application/json"),
        lambda: batch_response(WHOLE, "multipart/mixed"),
        lambda: batch_response(WHOLE, "multipart/mixed; boundary=another"),
        lambda: batch_response(WHOLE.removesuffix("--batchresponse_1--\r\n")),
        lambda: batch_response(""),
        lambda: batch_response("{}", "application/json"),
        lambda: batch_response(WHOLE.replace("HTTP/1.1 204", "204")),
        lambda: batch_response("--batchresponse_1\r\n\r\n--batchresponse_1--\r\n"),
        lambda: web.Response(status=200, text=WHOLE),
        lambda: web.Response(status=302, headers={"Location": "/elsewhere"}),
    ],
    ids=["type", "no boundary", "boundary", "no end", "empty", "json", "no http", "no part", "200",
         "302"],
)  # fmt: skip
async def test_an_invalid_response_is_an_error(made: Any) -> None:
    async with stand_in(made) as server, connect(server.url) as (ours, _):
        with pytest.raises(AzureError):
            await ours.submit("history", [Insert(ROW)])

    assert len(server.requests) == 1


async def test_a_response_for_fewer_operations_is_an_error() -> None:
    async with stand_in(created_response) as server, connect(server.url) as (ours, _):
        with pytest.raises(ServiceResponseError, match="2 operations, its response has 1"):
            await ours.submit("history", [Insert(ROW), Insert(NEW)])


async def test_an_error_outside_of_the_change_set_is_an_error() -> None:
    """The service responds so when it cannot parse the change set."""
    code = '{"odata.error":{"code":"InvalidInput","message":{"lang":"en-US","value":"no."}}}'
    made = error_response(400, code)
    async with stand_in(lambda: made) as server, connect(server.url) as (ours, _):
        with pytest.raises(TableTransactionError) as raised:
            await ours.submit("history", [Insert(ROW)])

    error = raised.value
    assert (error.status_code, error.index, error.error_code) == (400, 0, "InvalidInput")


@pytest.mark.parametrize("status", [429, 503])
async def test_a_throttled_transaction_is_retried_after_the_retry_after_time(
    status: int,
) -> None:
    def busy() -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "1"})

    async with stand_in(busy, created_response) as server, connect(server.url) as (ours, _):
        started = asyncio.get_running_loop().time()
        etags = await ours.submit("history", [Insert(ROW)])
        took = asyncio.get_running_loop().time() - started

    assert etags == ["W/\"datetime'2026'\""]
    assert took >= 0.99
    assert server.bodies[0] == server.bodies[1]


async def test_a_service_that_stays_busy_is_an_error_after_some_attempts() -> None:
    busy = '{"odata.error":{"code":"ServerBusy","message":{"lang":"en-US","value":"Busy."}}}'
    async with (
        stand_in(lambda: web.Response(status=503, text=busy)) as server,
        connect(server.url) as (ours, _),
    ):
        with pytest.raises(HttpResponseError) as raised:
            await ours.submit("history", [Insert(ROW)])

    assert (raised.value.status_code, raised.value.error_code) == (503, "ServerBusy")
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_transaction_that_may_have_committed_is_not_retried(status: int) -> None:
    def fail() -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "0"})

    async with stand_in(fail) as server, connect(server.url) as (ours, _):
        with pytest.raises(HttpResponseError) as raised:
            await ours.submit("history", [Insert(ROW)])

    assert raised.value.status_code == status
    assert len(server.requests) == 1


async def test_an_unreachable_server_is_an_error() -> None:
    (port,) = free_ports(1)
    async with connect(f"http://127.0.0.1:{port}") as (ours, _):
        with pytest.raises(ServiceRequestError):
            await ours.submit("history", [Insert(ROW)])


async def test_the_deadline_of_the_caller_ends_the_request() -> None:
    forever = asyncio.Event()

    async def hang() -> None:
        await forever.wait()

    async with stand_in(hang) as server, connect(server.url) as (ours, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await ours.submit("history", [Insert(ROW)])
        forever.set()
