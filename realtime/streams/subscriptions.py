"""Which users have subscribed to which streams: the table `subscriptions`.

A user is a partition, with a row for each stream.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import cache

from azure.data.tables import UpdateMode

from realtime.azure.tables import Row, Tables, tables
from realtime.azure.web_pubsub import Hub, hub
from realtime.streams.definition import StreamInfo
from realtime.streams.pushed import list_streams

Streams = Mapping[str, StreamInfo]


class Subscriptions:
    """The subscriptions of all users. They apply to present and later connections."""

    def __init__(
        self, tables: Tables, hub: Hub, list_streams: Callable[[], Awaitable[Streams]]
    ) -> None:
        self._tables = tables
        self._hub = hub
        self._list_streams = list_streams

    async def add(self, user_id: str, stream: StreamInfo) -> None:
        table = self._tables.open("subscriptions")
        await table.upsert_entity(_row(user_id, stream), mode=UpdateMode.REPLACE)
        await self._hub.add_user_to_group(stream.group, user_id)

    async def remove(self, user_id: str, stream: StreamInfo) -> None:
        table = self._tables.open("subscriptions")
        await table.delete_entity(user_id, stream.name)
        await self._hub.remove_user_from_group(stream.group, user_id)

    async def list_groups(self, user_id: str) -> list[str]:
        """The groups of the streams to which a user has subscribed."""
        return [one.group for one in await self.list_streams(user_id)]

    async def list_streams(self, user_id: str) -> list[StreamInfo]:
        """The streams to which a user has subscribed, by name, as far as they exist."""
        names = await self.list_names(user_id)
        streams = await self._list_streams() if names else {}
        return [streams[name] for name in names if name in streams]

    async def list_names(self, user_id: str) -> list[str]:
        """The names of the streams to which a user has subscribed, also of those that are gone."""
        rows = self._tables.open("subscriptions").query_entities(
            "PartitionKey eq @user", parameters={"user": user_id}, select=["RowKey"]
        )
        return [row["RowKey"] async for row in rows]

    async def remove_all(self, user_id: str) -> None:
        """Remove all subscriptions of a user who has no connections."""
        table = self._tables.open("subscriptions")
        for name in await self.list_names(user_id):
            await table.delete_entity(user_id, name)


def _row(user_id: str, stream: StreamInfo) -> Row:
    return {"PartitionKey": user_id, "RowKey": stream.name}


@cache
def subscriptions() -> Subscriptions:
    """The subscriptions as this process reads them."""
    return Subscriptions(tables(), hub(), list_streams)
