"""The audit log: concurrent acts share rows, and each is listed once."""

import asyncio
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

import aiohttp
import pytest
from azure.core.exceptions import ServiceRequestError

from local.parts import Stack
from realtime.azure.operations import Operation
from realtime.azure.purge import PURGE_BATCH_ROWS
from realtime.azure.row_keys import newest_first_key
from realtime.azure.tables import Table
from realtime.users.audit import AUDIT_DAYS, MAX_ROW_ACTS, Act, AuditLog
from tests.instances import Instance, instance


class Acts:
    """An audit log whose acts are of a time of their own, so that others are not listed."""

    def __init__(self, one: Instance, start: datetime, actor: str) -> None:
        self.start = start
        self._count = 0
        self.actor = actor
        self.log = AuditLog(one.tables, self._now)

    def of(self, two: Instance) -> "Acts":
        """Acts of the same actor at the same time on another instance."""
        return Acts(two, self.start, self.actor)

    def _now(self) -> datetime:
        self._count += 1
        return self.start + timedelta(milliseconds=self._count)

    async def add(self, number: int, target: str = "lobby") -> None:
        await self.log.add(self.actor, f"send as {number}", target)

    async def list_pages(self, limit: int) -> list[list[Act]]:
        """Until a page has acts of others."""
        pages = []
        after = newest_first_key(self.start + timedelta(hours=1))
        while page := await self.log.list_page(limit, after):
            pages.append([one for one in page if one.actor == self.actor])
            if len(pages[-1]) < len(page):
                break
            after = page[-1].key
        return pages


@pytest.fixture
def acts(one: Instance) -> Acts:
    start = datetime(2001, 1, 1, tzinfo=UTC) + timedelta(days=Random().randrange(5000))
    return Acts(one, start, uuid.uuid4().hex)


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_concurrent_acts_are_listed_once_and_newest_first(acts: Acts, limit: int) -> None:
    await asyncio.gather(*(acts.add(number) for number in range(30)))
    await acts.add(30)

    pages = await acts.list_pages(limit)

    found = [one for page in pages for one in page]
    assert [one.action for one in found] == [f"send as {n}" for n in reversed(range(31))]
    assert [one.timestamp for one in found] == sorted(
        (one.timestamp for one in found), reverse=True
    )
    assert len({one.key for one in found}) == 31
    assert max(map(len, pages)) <= limit


async def test_concurrent_acts_share_rows(acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    submit = Table.submit

    async def record_size(table: Table, operations: list[Operation]) -> list[str]:
        sizes.append(len(operations))
        return await submit(table, operations)

    monkeypatch.setattr(Table, "submit", record_size)
    await asyncio.gather(*(acts.add(number) for number in range(3 * MAX_ROW_ACTS)))
    await acts.add(0)

    assert sizes == [3, 1]


async def test_a_row_holds_the_longest_acts(acts: Acts) -> None:
    longest = f"{'r' * 64}/{'u' * 64}/{'m' * 20}"

    await asyncio.gather(*(acts.add(10**60 + n, longest) for n in range(MAX_ROW_ACTS)))

    [page] = await acts.list_pages(100)
    assert {(len(one.action), one.target) for one in page} == {(69, longest)}


async def test_each_caller_gets_the_error_of_the_write(
    acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ServiceRequestError("The storage cannot be reached.")

    with monkeypatch.context() as patched:
        patched.setattr(Table, "submit", fail)
        outcomes = await asyncio.gather(
            *(acts.add(number) for number in range(3)), return_exceptions=True
        )
    await acts.add(3)

    assert [type(one) for one in outcomes] == [ServiceRequestError] * 3
    assert [one.action for page in await acts.list_pages(9) for one in page] == ["send as 3"]


@pytest.mark.parametrize("name", ["a" * 6_000, "-", "a%0Db", "A%C3%84"], ids=["long", *"123"])
async def test_what_cannot_exist_is_not_recorded(
    stack: Stack, http: aiohttp.ClientSession, name: str
) -> None:
    """Acts that are added at once share a row, which the longest names would not fit into."""

    async def read_newest() -> str:
        async with http.get(f"{stack.url}/api/server/audit?limit=1") as response:
            return str((await response.json())["acts"])

    before = await read_newest()
    for method, path in (("DELETE", "streams"), ("PATCH", "reports")):
        for _ in range(2):
            url = f"{stack.url}/api/{path}/{name}"
            async with http.request(method, url, json={"state": "closed"}) as response:
                assert response.status == 404, await response.text()

    assert await read_newest() == before


async def test_acts_of_two_instances_are_in_one_list(stack: Stack, acts: Acts) -> None:
    async with instance(stack) as two:
        other = acts.of(two)
        await asyncio.gather(*(log.add(n) for n in range(20) for log in (acts, other)))

    [page] = await acts.list_pages(100)
    assert Counter(one.action for one in page) == {f"send as {n}": 2 for n in range(20)}


async def test_acts_past_the_retention_are_purged(one: Instance, acts: Acts) -> None:
    number = PURGE_BATCH_ROWS + 20
    for each in range(number):
        await acts.add(each)
    old = PURGE_BATCH_ROWS + 10
    later = acts.start + timedelta(days=AUDIT_DAYS, milliseconds=old)

    removed = await AuditLog(one.tables, lambda: later).purge()

    assert removed >= old
    found = [act for page in await acts.list_pages(100) for act in page]
    assert [act.action for act in found] == [f"send as {n}" for n in reversed(range(old, number))]
