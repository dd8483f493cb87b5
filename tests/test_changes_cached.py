"""A commit uses cached messages; what other instances have changed since is found and read."""

import gc
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from realtime.azure.tables import Table
from realtime.messages import Entry
from realtime.rooms.draft_queue import Budget
from realtime.rooms.drafts import Draft
from realtime.rooms.log_rows import StoredMessage
from realtime.rooms.message_cache import MessageCache
from realtime.rooms.outcomes import Outcome
from realtime.rooms.retention import purge
from tests.instances import Instance
from tests.test_changes import (
    HEART,
    THUMB,
    delete,
    edit,
    error_of,
    message,
    reaction,
    state_of,
)
from tests.test_restore import copy_rows, restore


class CountingTable(Table):
    """Counts the requests that read."""

    reads: int = 0

    async def get_entity(self, partition_key: str, row_key: str, **options: Any) -> Any:
        self.reads += 1
        return await super().get_entity(partition_key, row_key, **options)

    async def query_entities(self, query_filter: str, **options: Any) -> AsyncIterator[Any]:
        self.reads += 1
        async for row in super().query_entities(query_filter, **options):
            yield row


@contextmanager
def counted(one: Instance) -> Iterator[CountingTable]:
    """The table of the logs of an instance, which counts from here on."""
    table = one.tables.open("history")
    table.__class__ = CountingTable
    assert isinstance(table, CountingTable)
    table.reads = 0
    try:
        yield table
    finally:
        table.__class__ = Table


async def commit(one: Instance, room: str, *drafts: Draft) -> list[Outcome]:
    """One commit after the present head; the outcomes of the drafts."""
    head = await one.logs.read_head(room)
    outcomes = (await one.logs.commit(room, head, drafts, datetime.now(UTC))).outcomes
    return [outcomes[draft] for draft in drafts]


# --- reads ------------------------------------------------------------------------------------


async def test_a_change_of_a_message_that_this_instance_wrote_reads_nothing(
    one: Instance, room: str
) -> None:
    await one.appender.append(room, message("a"))

    with counted(one) as table:
        await one.appender.append(room, edit(1, "b"))
        await one.appender.append(room, reaction(1))
        await one.appender.append(room, reaction(1, sender="carol"))
        await one.appender.append(room, reaction(1, on=False))
        await one.appender.append(room, edit(1, "c", revision=1))
        await one.appender.append(room, delete(1))

    assert table.reads == 0
    (first,) = await state_of(one, room)
    assert (first.deleted, first.content, first.revision) == (True, "", 3)


async def test_a_first_change_of_another_instance_reads_the_message_once(
    one: Instance, other: Instance, room: str
) -> None:
    await one.appender.append(room, message("a"))
    await one.appender.append(room, reaction(1, sender="carol"))
    await other.logs.read_head(room)

    with counted(other) as table:
        await other.appender.append(room, edit(1, "b"))
        assert table.reads == 1
        await other.appender.append(room, reaction(1, HEART))  # no reaction of this kind exists
        assert table.reads == 1
        await other.appender.append(room, reaction(1, THUMB))  # reads all reactions
        assert table.reads == 2
        await other.appender.append(room, reaction(1, THUMB, "carol", on=False))
        assert table.reads == 2

    (entry,) = await state_of(one, room, reader="bob")
    assert (entry.content, entry.reactions) == ("b", {HEART: 1, THUMB: 1})
    assert set(entry.mine) == {HEART, THUMB}


async def test_the_targets_of_one_commit_are_read_together(
    one: Instance, other: Instance, room: str
) -> None:
    """In one query where they are near to each other."""
    await commit(one, room, *(message(str(number)) for number in range(1, 46)))
    edits = [edit(seq, "x") for seq in (1, 2, 4, 9, 40, 45)]
    head = await other.logs.read_head(room)

    with counted(other) as table:
        await other.logs.commit(room, head, edits, datetime.now(UTC))

    assert table.reads == 2
    changed = [entry.seq for entry in await state_of(one, room) if entry.content == "x"]
    assert changed == [1, 2, 4, 9, 40, 45]


@pytest.mark.parametrize(("reactions", "drafts", "reads"), [(12, 1, 2), (60, 2, 3), (60, 4, 2)])
async def test_all_reactions_are_read_where_that_costs_less_than_single_rows(
    one: Instance, other: Instance, room: str, reactions: int, drafts: int, reads: int
) -> None:
    """The message, and its reactions: by one query, or a row for each that is wanted."""
    await one.appender.append(room, message("a"))
    for start in range(0, reactions, 30):
        some = range(start, min(start + 30, reactions))
        await commit(one, room, *(reaction(1, sender=f"user{number}") for number in some))
    head = await other.logs.read_head(room)
    added = [reaction(1, sender=f"new{number}") for number in range(drafts - 1)]

    with counted(other) as table:
        await other.logs.commit(
            room, head, [*added, reaction(1, sender="user0", on=False)], datetime.now(UTC)
        )

    assert table.reads == reads
    (entry,) = await state_of(one, room, reader="user0")
    assert (entry.reactions, entry.mine) == ({THUMB: reactions + drafts - 2}, [])


# --- outdated messages ------------------------------------------------------------------------


async def test_two_instances_change_one_message_alternately(
    one: Instance, other: Instance, room: str
) -> None:
    """Each has the state of its own last change when it begins."""
    await commit(one, room, message("0"))
    outcomes = []
    for number in range(6):
        writer = (other, one)[number % 2]
        outcomes += await commit(writer, room, edit(1, str(number + 1), revision=number))
        outcomes += await commit(writer, room, reaction(1, sender=f"user{number}"))

    assert outcomes == list(range(2, 14))
    (entry,) = await state_of(one, room)
    assert (entry.content, entry.revision, entry.reactions) == ("6", 6, {THUMB: 6})


async def test_an_outdated_message_refuses_nothing(
    one: Instance, other: Instance, room: str
) -> None:
    """What a cached message would refuse, or leave without effect, is decided by the stored one."""
    await commit(one, room, message("a"), message("b"))
    await commit(one, room, reaction(1), edit(2, "b1"))
    await commit(other, room, reaction(1, on=False), edit(2, "b2", revision=1))

    assert await commit(one, room, reaction(1), edit(2, "b3", revision=2)) == [7, 8]
    (no_effect,) = await commit(other, room, reaction(1))

    assert no_effect == 0
    first, second = await state_of(one, room, reader="bob")
    assert (first.reactions, first.mine, second.content) == ({THUMB: 1}, [THUMB], "b3")


async def test_a_message_that_is_newer_than_the_cached_head_is_not_unknown(
    one: Instance, other: Instance, room: str
) -> None:
    await one.appender.append(room, message("a"))
    await other.appender.append(room, message("b"))
    await other.appender.append(room, message("c"))

    assert (await one.appender.append(room, reaction(3))).seq == 4


async def test_a_removal_on_one_instance_and_a_reply_on_another_see_the_delete(
    one: Instance, other: Instance, room: str
) -> None:
    await commit(one, room, message("a"))
    await commit(one, room, reaction(1))
    await commit(other, room, delete(1))

    for draft in (reaction(1, on=False), reaction(1, HEART), edit(1, "b")):
        (outcome,) = await commit(one, room, draft)
        assert getattr(outcome, "code", "") == "message_deleted"
    assert await commit(one, room, message("reply", reply_to=1)) == [4]

    first, second = await state_of(one, room)
    assert (first.deleted, second.reply_to) == (True, 1)


async def test_no_message_is_changed_that_retention_has_removed(
    one: Instance, other: Instance, room: str
) -> None:
    one.time = datetime.now(UTC) - timedelta(days=10)
    await one.appender.append(room, message("old"))
    await one.appender.append(room, reaction(1))
    one.time = None
    await one.appender.append(room, message("new"))
    await purge(other.logs, datetime.now(UTC), days=7)

    for draft in (
        edit(1, "x"), reaction(1, HEART), reaction(1, on=False), delete(1),
        message("reply", reply_to=1),
    ):  # fmt: skip
        assert (await error_of(one.appender.append(room, draft))).code == "unknown_message"
    assert [row async for row in one.logs.query_rows(room, "m:0", "m:0000000000000000003")] == []


async def test_messages_of_a_deleted_log_are_not_those_of_the_next(
    one: Instance, other: Instance, room: str
) -> None:
    await commit(one, room, message("a"), message("b"))
    await commit(one, room, reaction(1))
    await restore(other, room, [])
    await commit(other, room, message("new", sender="carol"))
    await commit(other, room, edit(1, "edited", sender="carol"))

    refused = await commit(one, room, message("reply to an edit", reply_to=2))
    *others, stored = await commit(one, room, edit(1, "x"), edit(2, "x"), reaction(1))

    codes = [getattr(outcome, "code", "") for outcome in (*others, *refused)]
    assert codes == ["forbidden", "unknown_message", "unknown_message"]
    assert stored == 3
    (entry,) = await state_of(one, room, reader="bob")
    assert (entry.content, entry.reactions, entry.mine) == ("edited", {THUMB: 1}, [THUMB])


async def test_a_reply_after_a_restore_to_a_message_that_is_gone_is_rejected(
    one: Instance, other: Instance, room: str
) -> None:
    """The seq of that message is now another entry, in the same epoch."""
    await one.appender.append(room, message("first"))
    copy = await copy_rows(one, room)
    await other.appender.append(room, message("lost"))
    await restore(one, room, copy)
    await one.appender.append(room, delete(1))

    error = await error_of(other.appender.append(room, message("reply", reply_to=2)))

    assert error.code == "unknown_message"


@pytest.mark.parametrize("is_continued", [False, True])
async def test_a_change_after_a_restore_changes_the_restored_message(
    one: Instance, other: Instance, room: str, *, is_continued: bool
) -> None:
    """Also if an instance that cannot know of the restore has continued the log before."""
    await commit(one, room, message("a"), message("b"))
    copy = await copy_rows(one, room)
    await commit(one, room, edit(1, "a1"), reaction(2))
    await restore(one, room, copy)
    if is_continued:
        await commit(other, room, edit(1, "a2"), edit(2, "b2"), message("c"))

    outcomes = [
        (await commit(one, room, draft))[0]
        for draft in (
            reaction(2), reaction(2, HEART, "carol"), edit(1, "a3", revision=int(is_continued)),
        )
    ]  # fmt: skip

    first = 6 if is_continued else 3
    assert outcomes == [first, first + 1, first + 2]
    entries = await state_of(other, room, reader="bob")
    assert [(one.content, one.reactions) for one in entries[:2]] == [
        ("a3", {}), ("b2" if is_continued else "b", {THUMB: 1, HEART: 1}),
    ]  # fmt: skip
    assert entries[1].mine == [THUMB]


# --- bounds -----------------------------------------------------------------------------------


async def test_reactions_to_one_message_share_its_row_in_a_commit(one: Instance, room: str) -> None:
    """Of 99 operations beside the head, each takes three, and their message takes one."""
    await commit(one, room, *(message(str(number)) for number in range(40)))
    same = [reaction(1, sender=f"user{number}") for number in range(40)]
    different = [reaction(number + 1, sender="carol") for number in range(40)]
    fitting = [list(_take(Budget(), drafts)) for drafts in (same, different)]

    assert [len(batch) for batch in fitting] == [32, 24]
    for batch in fitting:
        assert all(await commit(one, room, *batch))
    assert Budget().accept_row(same[:32])
    assert not Budget().accept_row(same[:33])


def _take(budget: Budget, drafts: list[Any]) -> Iterator[Draft]:
    for draft in drafts:
        if not budget.accept(draft):
            return
        yield draft


COUNTS = {"short": 4_000, "reactions": 400}
"""How many entries are added, several times what the cache holds; 1,500 of the other kinds."""

ENTRIES: dict[str, dict[str, Any]] = {
    "short": {"content": "hi"},
    "long": {"content": "張" * 4_000},
    "nested metadata": {"content": "hi", "meta": {"a": [[{}] for _ in range(500)]}},
    "mentions": {"content": "hi", "mentions": [f"user{n}-22222222" for n in range(20)]},
    "reactions": {"content": "hi", "reactions": {THUMB: 300}},
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_the_cache_is_bounded_in_bytes(kind: str) -> None:
    max_bytes = 1_000_000
    count = COUNTS.get(kind, 1_500)
    cache = MessageCache(max_bytes)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for seq in range(1, count + 1):
            entry = Entry(seq, f"id-{seq}", f"user{seq}", timestamp="2026-11-01", **ENTRIES[kind])
            stored = StoredMessage(entry, seq, "31938aae", f"etag-{seq}")
            users = range(sum(entry.reactions.values()))
            cache.add(f"room-{seq}", stored, {(f"{seq}-{user}", THUMB) for user in users})
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert 0.3 * max_bytes < used <= max_bytes
    assert cache.get(f"room-{count}", count) == stored
    assert cache.get("room-1", 1) is None


def test_reactions_that_take_too_many_bytes_are_not_cached() -> None:
    cache = MessageCache()
    entry = Entry(1, "1", "ann", "a", "2026-11-01", reactions={THUMB: 1})
    stored = StoredMessage(entry, 1, "31938aae", "0")
    cache.add("room", stored, {("bob", THUMB)})
    added = {(f"user{number}", THUMB): True for number in range(10_000)}

    cache.update("room", StoredMessage(entry, 1, "31938aae", "1"), {("carol", THUMB): True}, "0")
    assert cache.find_reactions("room", StoredMessage(entry, 1, "31938aae", "1")) == {
        ("bob", THUMB), ("carol", THUMB),
    }  # fmt: skip
    cache.update("room", StoredMessage(entry, 1, "31938aae", "2"), added, "1")

    assert cache.get("room", 1) == StoredMessage(entry, 1, "31938aae", "2")
    assert cache.find_reactions("room", StoredMessage(entry, 1, "31938aae", "2")) is None
