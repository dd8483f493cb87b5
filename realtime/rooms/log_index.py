"""The table `logs`: a row for each log, and where the last purge has stopped. With it the authors
of each log."""

from collections.abc import AsyncIterator, Iterable

from azure.core.exceptions import ResourceNotFoundError

from realtime.azure.tables import Tables
from realtime.rooms.authors import Authors
from realtime.rooms.drafts import Draft

PARTITION = "logs"
PURGE_KEY = ("purge", "position")


class LogIndex:
    """Table Storage cannot list the partitions of a table without reading all its rows."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.authors = Authors(tables)

    async def add(self, name: str, drafts: Iterable[Draft], *, is_new: bool = False) -> None:
        """List a log and its authors. This comes before what it lists: retention finds the log, and
        the deletion of a user finds the author."""
        await self.authors.add(name, {draft.sender for draft in drafts})
        if not is_new:
            return
        table = self._tables.open("logs")
        await table.upsert_entity({"PartitionKey": PARTITION, "RowKey": name})

    async def list_names(self) -> AsyncIterator[str]:
        rows = self._tables.open("logs").query_entities(f"PartitionKey eq '{PARTITION}'")
        async for row in rows:
            yield row["RowKey"]

    async def read_purge_position(self) -> str:
        """The log at which the last purge stopped; empty if it came to the end."""
        try:
            row = await self._tables.open("logs").get_entity(*PURGE_KEY)
        except ResourceNotFoundError:
            return ""
        return str(row["log"])

    async def write_purge_position(self, name: str) -> None:
        partition, key = PURGE_KEY
        row = {"PartitionKey": partition, "RowKey": key, "log": name}
        await self._tables.open("logs").upsert_entity(row)
