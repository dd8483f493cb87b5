"""The names of all logs: the table `logs`, one row a log."""

from collections.abc import AsyncIterator

from realtime.azure.tables import Tables

PARTITION = "logs"


class LogIndex:
    """Table Storage cannot list the partitions of a table without reading all its rows."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, name: str) -> None:
        """List a log. This comes before its first commit, so that retention finds it."""
        table = self._tables.open("logs")
        await table.upsert_entity({"PartitionKey": PARTITION, "RowKey": name})

    async def list_names(self) -> AsyncIterator[str]:
        rows = self._tables.open("logs").query_entities(f"PartitionKey eq '{PARTITION}'")
        async for row in rows:
            yield row["RowKey"]
