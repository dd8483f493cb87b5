"""Reads rows of Table Storage: one by its keys, or those that a filter selects.

Most of the app's requests to the storage are reads, and azure-data-tables takes twice as long for
one row and six times as long for 200. As in transactions.py, requests and responses are encoded and
parsed here and sent by azure-core's pipeline. The formats:
learn.microsoft.com/rest/api/storageservices/query-entities
learn.microsoft.com/rest/api/storageservices/payload-format-for-table-service-operations
"""

import base64
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec
from azure.core import AsyncPipelineClient
from azure.core.pipeline import policies
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.data.tables import EdmType, EntityProperty
from azure.data.tables.aio import TableServiceClient
from yarl import URL

from realtime.azure.operations import row_url
from realtime.azure.request_policies import make_policies
from realtime.azure.storage_policies import DatePolicy, make_authentication_policy
from realtime.azure.transactions import API_VERSION, error_of_response
from realtime.azure.transport import make_transport


class StoredRow(dict[str, Any]):
    """The properties of a row, as azure-data-tables has them.

    `metadata` has the `etag` and, unless other properties were selected, the `timestamp`.
    """

    metadata: dict[str, Any]


class TableReader:
    """Reads rows of one storage account."""

    def __init__(
        self,
        service: TableServiceClient,
        *,
        transport: AsyncHttpTransport[Any, Any] | None = None,
    ) -> None:
        """A reader with the address and the credential of an SDK client."""
        url, _, self._query = service.url.partition("?")
        self._url = url.rstrip("/")
        self._client: AsyncPipelineClient[HttpRequest, AsyncHttpResponse] = AsyncPipelineClient(
            self._url,
            policies=make_policies(
                policies.AsyncRetryPolicy(),
                make_authentication_policy(service.credential),
                policies.CustomHookPolicy(),
                DatePolicy(),
            ),
            transport=transport or make_transport(self._url),
        )

    async def read(self, table: str, partition_key: str, row_key: str, **options: Any) -> StoredRow:
        """The current row. Raises ResourceNotFoundError and other errors of azure-core.

        The options are those of azure-core's pipeline, such as `raw_response_hook`.
        """
        url = row_url(f"{self._url}/{table}", partition_key, row_key)
        response = await self._get(url, [], options)
        return _parse_row(msgspec.json.decode(response.content))

    async def query(
        self,
        table: str,
        query_filter: str,
        *,
        parameters: Mapping[str, str] | None = None,
        select: Sequence[str] = (),
        results_per_page: int | None = None,
        **options: Any,
    ) -> AsyncIterator[StoredRow]:
        """The rows of all pages, in the order of their keys. An empty filter selects all.

        `@name` in the filter stands for a string of `parameters`.
        """
        query = [
            ("$filter", substitute_parameters(query_filter, parameters or {})),
            ("$select", ",".join(select)),
            ("$top", str(results_per_page or "")),
        ]
        following: list[tuple[str, str]] = []
        while True:
            url = f"{self._url}/{table}()"
            response = await self._get(url, [*query, *following], options)
            for values in msgspec.json.decode(response.content)["value"]:
                yield _parse_row(values)
            following = [
                (name, response.headers.get(f"x-ms-continuation-{name}") or "")
                for name in ("NextPartitionKey", "NextRowKey")
            ]
            if not any(value for _, value in following):
                return

    async def _get(
        self, url: str, query: Sequence[tuple[str, str]], options: Mapping[str, Any]
    ) -> AsyncHttpResponse:
        parts = [f"{name}={quote(value, safe='')}" for name, value in query if value]
        text = "&".join([*parts, self._query] if self._query else parts)
        # The signature covers the URL as yarl encodes it, because aiohttp sends it like that.
        address = str(URL(f"{url}?{text}" if text else url))
        request = HttpRequest("GET", address, headers=_HEADERS)
        response = await self._client.send_request(request, **options)
        if response.status_code != 200:
            raise error_of_response(response, "a read")
        return response

    async def close(self) -> None:
        await self._client.close()


_HEADERS = {
    "Accept": "application/json;odata=minimalmetadata",
    "x-ms-version": API_VERSION,
    "DataServiceVersion": "3.0",
}


def substitute_parameters(query_filter: str, parameters: Mapping[str, str]) -> str:
    """The filter with strings for its parameters; a quote inside of a string is written twice."""

    def literal(match: re.Match[str]) -> str:
        value = parameters[match[1]].replace("'", "''")
        return f"'{value}'"

    return re.sub(r"@(\w+)", literal, query_filter)


def _parse_row(values: dict[str, Any]) -> StoredRow:
    """A row from JSON. An Edm.Int64 is an EntityProperty, as with azure-data-tables."""
    row = StoredRow()
    for name, value in values.items():
        if "." in name or name == "Timestamp":  # metadata, or the type of another property
            continue
        edm_type = values.get(f"{name}@odata.type")
        row[name] = value if edm_type is None else _DECODERS[edm_type](value)
    row.metadata = {"etag": values.get("odata.etag", "")}
    if timestamp := values.get("Timestamp"):
        row.metadata["timestamp"] = datetime.fromisoformat(timestamp)
    return row


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "Edm.String": str,
    "Edm.Boolean": bool,
    "Edm.Int32": int,
    "Edm.Int64": lambda value: EntityProperty(int(value), EdmType.INT64),
    "Edm.Double": float,
    "Edm.Binary": base64.b64decode,
    "Edm.DateTime": datetime.fromisoformat,
    "Edm.Guid": UUID,
}


def date_of_response(response: Any) -> datetime:
    """The service's time, from the Date header of a response."""
    return parsedate_to_datetime(response.http_response.headers["Date"]).astimezone(UTC)
