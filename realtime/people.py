"""What is remembered about a person: where they talk, how far they have read, who is barred.

A person is a partition of the table `people`: a row `room:<room>` or `direct:<person>` for each
place they talk in, with the seq they have read. The partition `:barred` names who is kept out.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.data.tables import UpdateMode

from realtime.messages import Refused
from realtime.settings import settings
from realtime.tables import Row, Tables, tables

BARRED = ":barred"
"""The partition of barred people; no person is called that."""

MEMORY = 5.0
"""For how many seconds an instance trusts the list of barred people that it has read."""

REMEMBERED = 10_000
"""How many pairs of people an instance knows to have been introduced."""


@dataclass(frozen=True)
class Place:
    """A room, or the conversation with a person, that somebody talks in."""

    kind: str
    name: str
    read: int


class People:
    """Everybody, over the table `people`."""

    def __init__(
        self, tables: Tables, barred: Iterable[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tables = tables
        self._always_barred = frozenset(barred)
        self._barred: frozenset[str] = frozenset()
        self._barred_until = -1.0
        self._reading: asyncio.Future[None] | None = None
        self._clock = clock
        self._introduced: set[tuple[str, str]] = set()

    # --- who is kept out --------------------------------------------------------------------

    async def admit(self, user: str) -> None:
        """Pass, or be refused as barred."""
        self._pass(barred=await self.barred(user))

    async def barred(self, user: str) -> bool:
        """Whether somebody is kept out, as this instance has read it a moment ago."""
        if self._clock() >= self._barred_until:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.ensure_future(self._read_barred())
            await asyncio.shield(self._reading)
        return user in self._always_barred or user in self._barred

    async def admit_now(self, user: str) -> None:
        """The same as the table has it at this moment, for a connection that is to last."""
        table = await self._tables("people")
        try:
            await table.get_entity(BARRED, user)
        except ResourceNotFoundError:
            self._pass(barred=user in self._always_barred)
        else:
            self._pass(barred=True)

    def _pass(self, *, barred: bool) -> None:
        if barred:
            raise Refused("barred", "You may not come in here.")

    async def _read_barred(self) -> None:
        table = await self._tables("people")
        rows = table.query_entities("PartitionKey eq @barred", parameters={"barred": BARRED})
        self._barred = frozenset([row["RowKey"] async for row in rows])
        self._barred_until = self._clock() + MEMORY

    async def bar(self, user: str) -> None:
        table = await self._tables("people")
        await table.upsert_entity({"PartitionKey": BARRED, "RowKey": user})
        self._barred_until = -1.0

    async def unbar(self, user: str) -> None:
        table = await self._tables("people")
        await table.delete_entity(BARRED, user)
        self._barred_until = -1.0

    # --- where they talk, and how far they have read -------------------------------------------

    async def settle_in(self, user: str, kind: str, name: str) -> int:
        """Note that somebody talks in a place; the seq they have read there."""
        table = await self._tables("people")
        with suppress(ResourceNotFoundError):
            return int((await table.get_entity(user, f"{kind}:{name}"))["read"])
        try:
            await table.create_entity(_place_row(user, kind, name, 0))
        except ResourceExistsError:  # Another tab was faster.
            return await self.settle_in(user, kind, name)
        return 0

    async def introduce(self, one: str, other: str) -> None:
        """Note that two people talk with each other."""
        if (one, other) in self._introduced:
            return
        await self.settle_in(one, "direct", other)
        await self.settle_in(other, "direct", one)
        if len(self._introduced) >= REMEMBERED:
            self._introduced.clear()
        self._introduced.add((one, other))

    async def seen(self, user: str) -> bool:
        """Whether anything is remembered about somebody: they have been here."""
        table = await self._tables("people")
        rows = table.query_entities(
            "PartitionKey eq @user", parameters={"user": user}, results_per_page=1
        )
        async for _ in rows:
            return True
        return False

    async def move_out(self, user: str, kind: str, name: str) -> None:
        table = await self._tables("people")
        await table.delete_entity(user, f"{kind}:{name}")

    async def mark_read(self, user: str, kind: str, name: str, seq: int) -> int:
        """Move a read mark forward, never back; where it stands then."""
        table = await self._tables("people")
        while True:
            try:
                row = await table.get_entity(user, f"{kind}:{name}")
            except ResourceNotFoundError:
                await self.settle_in(user, kind, name)
                continue
            if row["read"] >= seq:
                return int(row["read"])
            try:
                await table.update_entity(
                    _place_row(user, kind, name, seq),
                    mode=UpdateMode.REPLACE,
                    etag=row.metadata["etag"],
                    match_condition=MatchConditions.IfNotModified,
                )
            except HttpResponseError as error:
                if error.status_code not in {404, 412}:
                    raise
            else:
                return seq

    async def places(self, user: str) -> list[Place]:
        """Every room and person that somebody talks with, by name."""
        table = await self._tables("people")
        rows = table.query_entities("PartitionKey eq @user", parameters={"user": user})
        return [
            Place(kind, name, int(row["read"]))
            async for row in rows
            for kind, _, name in [row["RowKey"].partition(":")]
            if kind in {"room", "direct"}
        ]


def _place_row(user: str, kind: str, name: str, read: int) -> Row:
    return {"PartitionKey": user, "RowKey": f"{kind}:{name}", "read": read}


@cache
def people() -> People:
    """This process's view of the people."""
    return People(tables(), filter(None, map(str.strip, settings().barred.split(","))))
