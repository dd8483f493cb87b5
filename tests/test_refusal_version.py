"""A ban, a deletion and the end of a session are in force on every instance at once, and users whom
an instance has checked before cost one shared read."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from azure.core.exceptions import ServiceResponseError

from realtime.azure.tables import Table, Tables
from realtime.errors import ApiError
from realtime.identity.deletions import Deletions
from realtime.identity.refusal_version import PARTITION
from realtime.identity.revocations import Revocations
from realtime.identity.sessions import Session
from realtime.users.bans import Bans
from tests.instances import Instance


class Lists:
    """What one instance has of the three lists."""

    def __init__(self, tables: Tables) -> None:
        self.now = 0.0
        self.bans = Bans(tables, [], lambda: self.now)
        self.deletions = Deletions(tables)
        self.revocations = Revocations(tables)


def session_of(user: str) -> Session:
    return Session(user, user, id="phone", began=0)


@dataclass(frozen=True)
class Kind:
    check: Callable[[Lists, str], Awaitable[None]]
    refuse: Callable[[Lists, str], Awaitable[Any]]


KINDS = {
    "ban": Kind(
        lambda lists, user: lists.bans.check_now(user),
        lambda lists, user: lists.bans.add(user),
    ),
    "deletion": Kind(
        lambda lists, user: lists.deletions.check_now(user),
        lambda lists, user: lists.deletions.begin(user, datetime.now(UTC)),
    ),
    "ended session": Kind(
        lambda lists, user: lists.revocations.check_now(user, "phone"),
        lambda lists, user: lists.revocations.add(session_of(user)),
    ),
}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def user() -> str:
    return f"user{uuid4().hex[:8]}"


class Reads:
    """Counts reads of the version and of the lists; a test may hold those of the lists."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, hold: bool = False) -> None:
        self.of_version = self.of_lists = 0
        self.arrived, self.released = asyncio.Event(), asyncio.Event()
        read, query = Table.get_entity, Table.query_entities

        async def count(partition: str) -> None:
            self.of_version += partition == PARTITION
            self.of_lists += partition != PARTITION
            if hold and partition != PARTITION:
                self.arrived.set()
                await self.released.wait()

        async def get_entity(table: Table, *keys: str, **options: Any) -> Any:
            try:
                return await read(table, *keys, **options)
            finally:
                await count(keys[0])

        async def query_entities(table: Table, selected: str, **options: Any) -> Any:
            rows = [row async for row in query(table, selected, **options)]
            await count(selected)
            for row in rows:
                yield row

        monkeypatch.setattr(Table, "get_entity", get_entity)
        monkeypatch.setattr(Table, "query_entities", query_entities)


async def test_a_change_by_another_instance_is_in_force_at_the_next_check(
    one: Instance, other: Instance, kind: Kind, user: str
) -> None:
    here, there = Lists(one.tables), Lists(other.tables)
    for _ in range(3):
        await kind.check(here, user)

    await kind.refuse(there, user)

    with pytest.raises(ApiError):
        await kind.check(here, user)


async def test_users_who_were_checked_before_share_one_read(
    one: Instance, kind: Kind, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = Lists(one.tables)
    users = [f"{user}-{n}" for n in range(50)]
    for _ in range(2):
        await asyncio.gather(*(kind.check(lists, each) for each in users))
    reads = Reads(monkeypatch)

    await asyncio.gather(*(kind.check(lists, each) for each in users))

    assert (reads.of_version, reads.of_lists) == (1, 0)


async def test_a_read_that_began_before_a_change_is_not_used_after_it(
    one: Instance, other: Instance, kind: Kind, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = Lists(one.tables), Lists(other.tables)
    await kind.check(here, "somebody-else")
    here.now = 10.0  # the cached list of bans is too old
    with monkeypatch.context() as patch:
        reads = Reads(patch, hold=True)
        earlier = asyncio.ensure_future(kind.check(here, user))
        await asyncio.wait_for(reads.arrived.wait(), 30)
    await kind.refuse(there, user)
    reads.released.set()
    await earlier

    with pytest.raises(ApiError):
        await kind.check(here, user)


async def test_a_change_whose_response_is_lost_is_in_force(
    one: Instance, other: Instance, kind: Kind, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = Lists(one.tables), Lists(other.tables)
    submit, upsert = Table.submit, Table.upsert_entity

    async def lose_response(change: Awaitable[Any]) -> None:
        """A check comes after the new version and before the change."""
        await kind.check(here, user)
        await change
        raise ServiceResponseError("the connection was reset")

    async def upsert_entity(table: Table, entity: Any, **options: Any) -> Any:
        change = upsert(table, entity, **options)
        return await (change if entity["PartitionKey"] == PARTITION else lose_response(change))

    with monkeypatch.context() as patch:
        patch.setattr(Table, "upsert_entity", upsert_entity)
        patch.setattr(Table, "submit", lambda *arguments: lose_response(submit(*arguments)))
        with pytest.raises(ServiceResponseError):
            await kind.refuse(there, user)

    with pytest.raises(ApiError):
        await kind.check(here, user)


async def test_the_end_of_a_ban_is_in_force_on_every_instance(
    one: Instance, other: Instance, user: str
) -> None:
    here, there = Lists(one.tables), Lists(other.tables)
    await here.bans.add(user)
    with pytest.raises(ApiError):
        await there.bans.check_now(user)
    with pytest.raises(ApiError):
        await there.bans.check_now(user)

    await here.bans.remove(user)

    await there.bans.check_now(user)


async def test_a_repeated_deletion_that_is_done_renews_no_version(
    one: Instance, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = Lists(one.tables)
    await lists.deletions.begin(user, datetime.now(UTC))
    await lists.deletions.finish(user)
    written = []
    upsert = Table.upsert_entity

    async def record_write(table: Table, entity: Any, **options: Any) -> Any:
        written.append(entity)
        return await upsert(table, entity, **options)

    monkeypatch.setattr(Table, "upsert_entity", record_write)
    repeated = await lists.deletions.begin(user, datetime.now(UTC))

    assert not repeated.pending
    assert written == []
