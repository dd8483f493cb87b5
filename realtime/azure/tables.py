"""Table Storage: the client of this process; a table that does not exist is created when used."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables import TableErrorCode
from azure.data.tables.aio import TableClient, TableServiceClient

from realtime.azure.operations import Operation
from realtime.azure.table_reads import TableReader
from realtime.azure.transactions import TransactionClient
from realtime.azure.transport import USER_AGENT, Transport, make_transport
from realtime.settings import Settings, settings

Row = dict[str, Any]
T = TypeVar("T")

TABLE_NAMES = (
    "audit",
    "authors",
    "bans",
    "blocks",
    "deletions",
    "history",
    "logs",
    "memberships",
    "names",
    "presence",
    "profiles",
    "reports",
    "revocations",
    "rooms",
    "streams",
    "subscriptions",
    "versions",
)
"""The tables of the app. infra/storage.bicep creates them; elsewhere they are created here."""


CONNECTION_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 20
"""A call that takes longer fails; azure-core's default is five minutes."""

CREATE_ATTEMPTS = 4
CREATE_PAUSE_SECONDS = 0.1
"""A table that another caller is creating takes a moment until it can be used. Each attempt waits
longer by this."""


class Table:
    """One table. The methods have the names and the errors of the SDK's TableClient.

    If the table does not exist (on a new account, or because it was deleted) it is created
    and the call is repeated.
    """

    def __init__(
        self,
        client: TableClient,
        reader: TableReader,
        transactions: TransactionClient,
        creations: dict[str, asyncio.Future[None]],
    ) -> None:
        self._client = client
        self._reader = reader
        self._transactions = transactions
        self._creations = creations

    async def get_entity(self, partition_key: str, row_key: str, **options: Any) -> Any:
        """A StoredRow. The options are those of `TableReader.read`."""
        name = self._client.table_name
        return await self._call(lambda: self._reader.read(name, partition_key, row_key, **options))

    async def create_entity(self, entity: Row) -> Mapping[str, Any]:
        return await self._call(lambda: self._client.create_entity(entity))

    async def upsert_entity(self, entity: Row, **options: Any) -> Mapping[str, Any]:
        return await self._call(lambda: self._client.upsert_entity(entity, **options))

    async def update_entity(self, entity: Row, **options: Any) -> Mapping[str, Any]:
        return await self._call(lambda: self._client.update_entity(entity, **options))

    async def delete_entity(self, partition_key: str, row_key: str, **options: Any) -> None:
        """Deletes a row if it exists."""
        await self._client.delete_entity(partition_key, row_key, **options)

    async def query_entities(self, query_filter: str, **options: Any) -> AsyncIterator[Any]:
        """The rows of all pages. A table that does not exist has none.

        The options are those of `TableReader.query`.
        """
        try:
            async for row in self._reader.query(self._client.table_name, query_filter, **options):
                yield row
        except ResourceNotFoundError:
            return

    def list_entities(self, **options: Any) -> AsyncIterator[Any]:
        """All rows of the table, as `query_entities`."""
        return self.query_entities("", **options)

    async def submit(self, operations: Sequence[Operation]) -> list[str]:
        """Run operations on one partition as a transaction; returns an etag per operation.

        The errors are those of `TransactionClient.submit`.
        """
        name = self._client.table_name
        return await self._call(lambda: self._transactions.submit(name, operations))

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        for attempt in range(CREATE_ATTEMPTS):
            try:
                return await call()
            except HttpResponseError as error:
                if not _is_table_missing(error):
                    raise
            await self._create()
            await asyncio.sleep(CREATE_PAUSE_SECONDS * attempt)
        return await call()

    async def _create(self) -> None:
        """Concurrent callers share one request."""
        name = self._client.table_name
        if name not in self._creations:
            self._creations[name] = asyncio.ensure_future(self._request_creation())
        try:
            await asyncio.shield(self._creations[name])
        finally:
            self._creations.pop(name, None)

    async def _request_creation(self) -> None:
        try:
            await self._client.create_table()
        except HttpResponseError as error:
            # Another caller was faster, or the table is being deleted: the call shows which.
            if error.status_code != 409:
                raise


async def take_rows(rows: AsyncIterator[Row], limit: int) -> list[Row]:
    """The first rows of a query, at most `limit`. Later pages are not read."""
    taken: list[Row] = []
    async for row in rows:
        taken.append(row)
        if len(taken) == limit:
            break
    return taken


def _is_table_missing(error: HttpResponseError) -> bool:
    """The SDK sets `error_code` on most errors; for an insert the code is only in the text.

    The text of an error is made of the response again, which takes longer than the comparison.
    """
    if error.status_code != 404:
        return False
    return TableErrorCode.TABLE_NOT_FOUND.value in (getattr(error, "error_code", "") or str(error))


class Tables:
    """The app's tables by name. The file that owns a table is the only one that opens it."""

    def __init__(self, service: TableServiceClient) -> None:
        self._service = service
        self._reader = TableReader(service, transport=_make_transport(service.url))
        self._transactions = TransactionClient.for_service(service)
        self._creations: dict[str, asyncio.Future[None]] = {}
        self._opened: dict[str, Table] = {}

    def open(self, name: str) -> Table:
        """A table. This makes no request.

        The SDK builds a pipeline for each client of a table, so there is one client a table.
        """
        if name not in self._opened:
            client = self._service.get_table_client(name, base_user_agent=USER_AGENT)
            self._opened[name] = Table(client, self._reader, self._transactions, self._creations)
        return self._opened[name]

    async def ping(self) -> None:
        """Read a row of each table; raises unless each read succeeds.

        Point reads, because the role Storage Table Data Contributor allows no request to the
        service's properties.
        """
        for name in TABLE_NAMES:
            try:
                await self.open(name).get_entity("health", "health")
            except ResourceNotFoundError:
                continue

    async def close(self) -> None:
        await self._service.close()
        await self._reader.close()
        await self._transactions.close()


def connect_tables(settings: Settings) -> Tables:
    """By connection string if there is one, else with the app's managed identity."""
    if settings.tables_connection_string:
        service = TableServiceClient.from_connection_string(
            settings.tables_connection_string,
            transport=_make_transport(_endpoint_of(settings.tables_connection_string)),
            base_user_agent=USER_AGENT,
        )
        return Tables(service)
    from azure.identity.aio import DefaultAzureCredential  # its import takes half a second

    endpoint = settings.tables_endpoint
    return Tables(
        TableServiceClient(
            endpoint,
            credential=DefaultAzureCredential(),
            transport=_make_transport(endpoint),
            base_user_agent=USER_AGENT,
        )
    )


def _make_transport(endpoint: str) -> Transport:
    return make_transport(
        endpoint, connection_timeout=CONNECTION_TIMEOUT_SECONDS, read_timeout=READ_TIMEOUT_SECONDS
    )


def _endpoint_of(connection_string: str) -> str:
    """The address in a connection string, as far as the transport needs it: scheme and host."""
    pairs = (part.split("=", 1) for part in connection_string.split(";") if "=" in part)
    values = {name.lower(): value for name, value in pairs}
    suffix = values.get("endpointsuffix", "core.windows.net")
    default = f"https://{values.get('accountname', '')}.table.{suffix}"
    return values.get("tableendpoint", default)


@cache
def tables() -> Tables:
    """The tables of this process."""
    return connect_tables(settings())
