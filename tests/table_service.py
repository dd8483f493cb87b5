"""A separate Azurite, and clients of it."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import web
from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables.aio import TableServiceClient

from local.parts import TABLES_ACCOUNT, TABLES_KEY, environment_of, free_ports, start_tables
from realtime.azure.transactions import TransactionClient

KEY = AzureNamedKeyCredential(TABLES_ACCOUNT, TABLES_KEY)
ROW = {"PartitionKey": "room", "RowKey": "head", "text": "hello"}
NEW = {"PartitionKey": "room", "RowKey": "new"}


@contextmanager
def run_azurite() -> Iterator[str]:
    """A separate Azurite; its URL."""
    (port,) = free_ports(1)
    part = start_tables(port)
    try:
        part.wait()
        yield part.url
    finally:
        part.stop()


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[tuple[TransactionClient, TableServiceClient]]:
    """Our client and the SDK's, on one account."""
    service = TableServiceClient.from_connection_string(connection_string(url))
    ours = TransactionClient.for_service(service)
    try:
        yield ours, service
    finally:
        await ours.close()
        await service.close()


def connection_string(url: str) -> str:
    return environment_of("http://unused", url)["TABLES_CONNECTION_STRING"]


def new_name() -> str:
    return f"t{uuid.uuid4().hex}"


# --- responses --------------------------------------------------------------------------------


def created_response() -> web.Response:
    """The response of the service to one insert."""
    part = (
        "--changesetresponse_1\r\nContent-Type: application/http\r\n"
        "Content-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 204 No Content\r\n"
        "Content-ID: 1\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-cache\r\n"
        "Preference-Applied: return-no-content\r\nDataServiceVersion: 3.0;\r\n"
        "Location: https://x.table.core.windows.net/history(PartitionKey='room',RowKey='head')\r\n"
        "ETag: W/\"datetime'2026'\"\r\n\r\n\r\n"
    )
    body = (
        "--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changesetresponse_1\r\n\r\n"
        f"{part}--changesetresponse_1--\r\n--batchresponse_1--\r\n"
    )
    return batch_response(body)


def error_response(status: int, code: str) -> Any:
    """An error as a part of the batch."""
    return batch_response(
        "--batchresponse_1\r\nContent-Type: application/http\r\n"
        f"Content-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 {status} Refused\r\n"
        f"Content-Type: application/json\r\n\r\n{code}\r\n--batchresponse_1--\r\n"
    )


def batch_response(
    body: str, content_type: str = "multipart/mixed; boundary=batchresponse_1"
) -> Any:
    return web.Response(status=202, body=body.encode(), headers={"Content-Type": content_type})
