"""The names of all logs: the table `logs`, one row a log. With it the authors of each log."""

from collections.abc import AsyncIterator, Iterable

from realtime.azure.tables import Tables
from realtime.rooms.authors import Authors
from realtime.rooms.drafts import Draft

PARTITION = "logs"


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
