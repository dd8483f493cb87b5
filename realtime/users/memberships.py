"""The rooms and direct conversations of a user, each with the user's read marker.

A user is a partition of the table `memberships`: a row `room:<room>` or `direct:<user>` for each.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Literal

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.data.tables import UpdateMode
from cachetools import LRUCache
from msgspec import Struct

from realtime.azure.tables import Row, Tables, tables
from realtime.concurrency import gather_limited
from realtime.names import direct_log

Kind = Literal["room", "direct"]

MAX_CACHED_PAIRS = 10_000
"""Pairs of users of whom an instance remembers that their conversation is stored."""


class Membership(Struct, frozen=True):
    """`name` is the room, or the other user of a direct conversation.

    `read` is the seq of the read marker, `read_messages` the number of messages up to it.
    """

    kind: Kind
    name: str
    read: int
    read_messages: int

    @property
    def key(self) -> str:
        """The position of the membership among the user's."""
        return f"{self.kind}:{self.name}"


class Memberships:
    """The memberships of all users."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._stored_pairs: LRUCache[tuple[str, str], bool] = LRUCache(MAX_CACHED_PAIRS)

    async def add(self, user_id: str, kind: Kind, name: str) -> int:
        """Store a membership if it is new; returns its read marker."""
        table = self._tables.open("memberships")
        with suppress(ResourceNotFoundError):
            return int((await table.get_entity(user_id, f"{kind}:{name}"))["read"])
        try:
            await table.create_entity(_row(user_id, kind, name, 0))
        except ResourceExistsError:  # Another connection of the user was faster.
            return await self.add(user_id, kind, name)
        return 0

    async def add_direct(self, user_id: str, other: str) -> None:
        """Store a direct conversation for both users."""
        if (user_id, other) in self._stored_pairs:
            return
        await self.add(user_id, "direct", other)
        await self.add(other, "direct", user_id)
        self._stored_pairs[user_id, other] = True

    async def has_any(self, user_id: str) -> bool:
        """Whether anything is stored about a user, so that the user has been here."""
        table = self._tables.open("memberships")
        rows = table.query_entities(
            "PartitionKey eq @user", parameters={"user": user_id}, results_per_page=1
        )
        async for _ in rows:
            return True
        return False

    async def remove(self, user_id: str, kind: Kind, name: str) -> None:
        table = self._tables.open("memberships")
        await table.delete_entity(user_id, f"{kind}:{name}")

    async def remove_all(self, user_id: str) -> None:
        """Remove all memberships of a user who cannot get new ones."""
        table = self._tables.open("memberships")
        rows = table.query_entities(
            "PartitionKey eq @user", parameters={"user": user_id}, select=["RowKey"]
        )
        keys = [row["RowKey"] async for row in rows]
        await gather_limited(table.delete_entity(user_id, key) for key in keys)

    async def find(self, user_id: str, kind: Kind, name: str) -> Membership | None:
        table = self._tables.open("memberships")
        try:
            row = await table.get_entity(user_id, f"{kind}:{name}")
        except ResourceNotFoundError:
            return None
        return Membership(kind, name, int(row["read"]), int(row["read_messages"]))

    async def advance_read_marker(
        self, user_id: str, kind: Kind, name: str, seq: int, messages: int
    ) -> int:
        """Move a read marker forward, never back; returns where it is then, 0 without a membership.

        `messages` is the number of messages up to `seq`. It stores no membership: a marker cannot
        be set where the user has never been.
        """
        table = self._tables.open("memberships")
        while True:
            try:
                row = await table.get_entity(user_id, f"{kind}:{name}")
            except ResourceNotFoundError:
                return 0
            if row["read"] >= seq:
                return int(row["read"])
            try:
                await table.update_entity(
                    _row(user_id, kind, name, seq, messages),
                    mode=UpdateMode.REPLACE,
                    etag=row.metadata["etag"],
                    match_condition=MatchConditions.IfNotModified,
                )
            except HttpResponseError as error:
                if error.status_code not in {404, 412}:
                    raise
            else:
                return seq

    async def lower_read_markers(self, ends: Mapping[str, tuple[int, int]]) -> int:
        """Move markers that are past the end of their log back to it; returns how many.

        `ends` has the seq and the number of messages of each log by name. Without this, a marker
        of before a restore would count new messages as read.
        """
        table = self._tables.open("memberships")
        lowered = 0
        async for row in table.list_entities():
            user_id = row["PartitionKey"]
            for one in _parse(row):
                log = one.name if one.kind == "room" else direct_log(user_id, one.name)
                seq, messages = ends.get(log, (0, 0))
                if one.read > seq:
                    lowered_row = _row(user_id, one.kind, one.name, seq, messages)
                    await table.update_entity(lowered_row, mode=UpdateMode.REPLACE)
                    lowered += 1
        return lowered

    async def list_page(
        self, user_id: str, limit: int, after: str = ""
    ) -> tuple[list[Membership], str | None]:
        """One page of a user's memberships, direct conversations first, by name.

        With it the position after which the next page starts, or None if there is none.
        """
        table = self._tables.open("memberships")
        rows = table.query_entities(
            "PartitionKey eq @user and RowKey gt @after",
            parameters={"user": user_id, "after": after},
            results_per_page=limit + 1,
        )
        found: list[Membership] = []
        async for row in rows:
            if len(found) == limit:
                return found, found[-1].key
            found += _parse(row)
        return found, None


def _row(user_id: str, kind: Kind, name: str, read: int, read_messages: int = 0) -> Row:
    key = {"PartitionKey": user_id, "RowKey": f"{kind}:{name}"}
    return {**key, "read": read, "read_messages": read_messages}


def _parse(row: Row) -> Iterator[Membership]:
    """A room's name with capitals is from before names were folded: nobody can join it."""
    kind, _, name = row["RowKey"].partition(":")
    if kind == "direct" or (kind == "room" and name == name.lower()):
        yield Membership(kind, name, int(row["read"]), int(row["read_messages"]))


@cache
def memberships() -> Memberships:
    """The memberships as this process reads them."""
    return Memberships(tables())
