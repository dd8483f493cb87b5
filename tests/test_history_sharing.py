"""Several instances write one log at once, with failing storage and stopping instances."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from local.parts import Stack
from realtime.azure.tables import Table, Tables, connect_tables
from realtime.errors import ApiError
from realtime.messages import Change, Entry
from realtime.rooms.appender import Appender
from realtime.rooms.contention import Contention
from realtime.rooms.draft_queue import Stored
from realtime.rooms.drafts import DeleteDraft, Draft, EditDraft, MessageDraft, ReactionDraft
from realtime.rooms.history import History, read_entries
from realtime.rooms.log import LogStore
from realtime.rooms.log_rows import QUEUE_PREFIX, Head, encode_queue_row
from realtime.rooms.publisher import LogPublisher
from realtime.rooms.retention import purge
from realtime.settings import Settings

T = TypeVar("T")

DEADLINE_SECONDS = 60.0


class Faults:
    """Faults of one instance's storage calls. After `dies_after` calls no call returns."""

    def __init__(self, seed: int, rate: float, dies_after: int = -1) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self._calls_left = dies_after
        self.dead = asyncio.Event()

    async def read(self, call: Callable[[], Awaitable[T]]) -> T:
        """Reads do not fail here: the SDK repeats them below this table."""
        if self._calls_left == 0:
            self.dead.set()
            await asyncio.Event().wait()
        self._calls_left -= 1
        return await call()

    async def write(self, call: Callable[[], Awaitable[T]]) -> T:
        chance = self._random.random()
        if chance < self._rate / 2:
            raise ServiceRequestError("refused")
        result = await self.read(call)
        if chance > 1 - self._rate / 2:
            raise ServiceResponseError("the response was lost")
        return result


class FaultyTable(Table):
    """The real table behind faults."""

    faults: Faults

    async def get_entity(self, *key: str) -> Any:
        read = super().get_entity
        return await self.faults.read(lambda: read(*key))

    async def upsert_entity(self, entity: Any, **options: Any) -> Any:
        write = super().upsert_entity
        return await self.faults.write(lambda: write(entity, **options))

    async def submit(self, operations: Any) -> Any:
        write = super().submit
        return await self.faults.write(lambda: write(operations))


class FaultyTables(Tables):
    faults: Faults

    def open(self, name: str) -> Table:
        table = super().open(name)
        table.__class__ = FaultyTable
        table.faults = self.faults  # type: ignore[attr-defined]
        return table


class Recorder(LogPublisher):
    """Records what is published, and fails at times."""

    def __init__(self, frames: list[Entry | Change], faults: Faults) -> None:
        self._frames = frames
        self._faults = faults

    async def publish(self, name: str, epoch: str, entries: Sequence[Entry | Change]) -> None:  # noqa: ARG002
        async def record() -> None:
            self._frames.extend(sorted(entries, key=lambda one: one.seq))

        await self._faults.write(record)


class Node:
    """One instance of the app, as far as logs are concerned."""

    def __init__(self, stack: Stack, frames: list[Entry | Change], faults: Faults) -> None:
        settings = Settings(tables_connection_string=stack.tables_connection_string)
        self.faults = faults
        self.tables = connect_tables(settings)
        self.tables.__class__ = FaultyTables
        self.tables.faults = faults  # type: ignore[attr-defined]
        self.logs = LogStore(self.tables)
        self.history = History(self.logs)
        self.appender = Appender(
            self.logs, Recorder(frames, faults), chance=random.Random(1).random, timeout_seconds=5
        )

    def share(self, room: str) -> None:
        """Start in the state of an instance that has seen other writers."""
        contention = self.appender._contention.setdefault(room, Contention())  # noqa: SLF001
        contention.note_shared(asyncio.get_running_loop().time())

    async def wait_until_idle(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while self.appender._tasks:  # noqa: SLF001
                await asyncio.wait(set(self.appender._tasks))  # noqa: SLF001

    async def close(self) -> None:
        for task in self.appender._tasks:  # noqa: SLF001
            task.cancel()
        await self.tables.close()


@asynccontextmanager
async def start_nodes(
    stack: Stack, all_faults: Sequence[Faults]
) -> AsyncIterator[tuple[list[Node], list[Entry | Change]]]:
    frames: list[Entry | Change] = []
    nodes = [Node(stack, frames, faults) for faults in all_faults]
    try:
        yield nodes, frames
    finally:
        for node in nodes:
            await node.close()


async def send_until_acknowledged(
    nodes: Sequence[Node], room: str, draft: Draft
) -> Stored | ApiError:
    """Repeat an unacknowledged draft through another instance each time, as clients do."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        attempt = 0
        while True:
            node = nodes[attempt % len(nodes)]
            attempt += 1
            if node.faults.dead.is_set():
                continue
            try:
                return await node.appender.append(room, draft)
            except ApiError as error:
                if not error.retry:
                    return error


async def check(
    reader: Node,
    room: str,
    frames: Sequence[Entry | Change],
    outcomes: dict[Draft, Stored | ApiError],
) -> None:
    """Check: no gap, no duplicate, every acknowledged draft stored with its seq and published."""
    head = await reader.logs.read_head(room)
    entries = await read_entries(reader.logs, room, head, 1, head.seq)
    by_seq = {entry.seq: entry for entry in entries}
    assert sorted(by_seq) == list(range(1, head.seq + 1))
    ids = [(entry.sender, entry.id) for entry in entries]
    assert len(set(ids)) == len(ids)
    messages = [entry for entry in entries if isinstance(entry, Entry)]
    assert head.messages == len(messages)
    published = {entry.seq for entry in frames}
    for draft, outcome in outcomes.items():
        if isinstance(outcome, Stored) and outcome.seq:
            stored = by_seq[outcome.seq]
            assert (stored.sender, stored.id) == (draft.sender, draft.id)
            assert outcome.seq in published
    await check_replay(reader, room, frames)


async def check_replay(reader: Node, room: str, frames: Sequence[Entry | Change]) -> None:
    """A client that received all frames has the reactions and tombstones of the pages."""
    page = await reader.history.read_page(room, 200)
    received = {entry.seq: entry for entry in sorted(frames, key=lambda one: one.seq)}
    counts: dict[tuple[int, str], int] = {}
    deleted = set()
    for entry in (received[seq] for seq in sorted(received)):
        if isinstance(entry, Change) and entry.kind == "reaction" and entry.emoji:
            counts[entry.target, entry.emoji] = entry.count or 0
        if isinstance(entry, Change) and entry.kind == "delete":
            deleted.add(entry.target)
    for message in page.messages:
        if message.deleted:
            assert message.seq in deleted or message.seq not in received
            continue
        for emoji, count in message.reactions.items():
            assert counts.get((message.seq, emoji), count) == count


def make_drafts(seed: int, count: int) -> list[Draft]:
    """Messages first, then all kinds; some are repetitions of another one."""
    chance = random.Random(seed)
    drafts: list[Draft] = []
    for number in range(count):
        sender, new_id = f"user{chance.randint(1, 8)}", f"{seed}-{number}"
        target = chance.randint(1, 6)
        kind = chance.random() if number > 8 else 0
        if kind < 0.6:
            drafts.append(MessageDraft(sender, new_id, content=f"text {number}"))
        elif kind < 0.75:
            emoji, on = chance.choice("👍🎉"), chance.random() < 0.7
            drafts.append(ReactionDraft(sender, new_id, target=target, emoji=emoji, on=on))
        elif kind < 0.9:
            drafts.append(EditDraft(sender, new_id, target=target, content=f"edit {number}"))
        else:
            drafts.append(DeleteDraft(sender, new_id, target=target))
        if chance.random() < 0.15:
            drafts.append(drafts[-1])
    return drafts


async def write_with_faults(
    stack: Stack, seed: int, count: int, instances: int, rate: float
) -> None:
    room = f"shared-{uuid.uuid4().hex}"
    faults = [Faults(seed * 10 + number, rate) for number in range(instances)]
    async with start_nodes(stack, [*faults, Faults(0, 0)]) as (nodes, frames):
        *writers, reader = nodes
        chance = random.Random(seed)
        for node in writers:
            if chance.random() < 0.7:
                node.share(room)
        drafts = make_drafts(seed, count)
        outcomes: dict[Draft, Stored | ApiError] = {}

        async def send(draft: Draft) -> None:
            order = chance.sample(writers, len(writers))
            outcomes[draft] = await send_until_acknowledged(order, room, draft)

        first, rest = drafts[:8], drafts[8:]
        await asyncio.gather(*map(send, first))
        await asyncio.gather(*map(send, rest))
        for node in writers:
            await node.wait_until_idle()
        await check(reader, room, frames, outcomes)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10_000), instances=st.integers(2, 3))
def test_messages_are_stored_once_and_published_with_storage_faults(
    stack: Stack, seed: int, instances: int
) -> None:
    asyncio.run(write_with_faults(stack, seed, 30, instances, rate=0.15))


async def test_no_message_is_lost_when_an_instance_stops_after_any_step(
    stack: Stack, room: str
) -> None:
    """The instance stops while it leads or follows; the others take over. All steps at once: each
    waits until the senders of the stopped instance send again."""
    async with asyncio.TaskGroup() as group:
        for steps in range(14):
            group.create_task(write_while_an_instance_stops(stack, f"{room}-{steps}", steps))


async def write_while_an_instance_stops(stack: Stack, room: str, dies_after: int) -> None:
    faults = [Faults(1, 0, dies_after), Faults(2, 0), Faults(3, 0)]
    async with start_nodes(stack, faults) as (nodes, frames):
        dying, *others = nodes
        for node in nodes:
            node.share(room)
        drafts = make_drafts(dies_after, 30)
        outcomes: dict[Draft, Stored | ApiError] = {}

        async def send(draft: Draft, number: int) -> None:
            first = [dying, *others] if number % 2 else others
            outcomes[draft] = await send_until_acknowledged(first, room, draft)

        await asyncio.gather(*(send(one, number) for number, one in enumerate(drafts)))
        for node in others:
            await node.wait_until_idle()
        await check(others[0], room, frames, outcomes)


async def test_unusable_protocol_rows_are_removed(stack: Stack, room: str) -> None:
    """60 rows: truncated, of another epoch and of another version."""
    async with start_nodes(stack, [Faults(1, 0), Faults(2, 0)]) as (nodes, frames):
        one, other = nodes
        await one.appender.append(room, MessageDraft("ann", "1", content="a"))
        table = one.tables.open("history")
        lost: list[Draft] = [MessageDraft("eve", "x", content="of another epoch")]
        for number in range(60):
            key = f"{QUEUE_PREFIX}{number:013}-junk"
            row = encode_queue_row(room, key, "another epoch", lost)
            if number % 3 == 1:
                row = {"PartitionKey": room, "RowKey": key, "version": 0}
            if number % 3 == 2:
                row = {**row, "drafts0": row["drafts0"][:20]}
            await table.upsert_entity(row)
        for node in nodes:
            node.share(room)
        outcomes: dict[Draft, Stored | ApiError] = {}
        for number in range(2, 8):
            draft = MessageDraft("ann", str(number), content="b")
            outcomes[draft] = await send_until_acknowledged([other, one], room, draft)
        await asyncio.gather(one.wait_until_idle(), other.wait_until_idle())

        remaining = [row["RowKey"] async for row in one.logs.query_rows(room, "head:", "head;")]
        assert remaining == []
        await check(one, room, frames, outcomes)
        entries = (await one.history.read_page(room, 200)).messages
        assert "eve" not in {entry.sender for entry in entries}


async def test_retention_runs_while_instances_share_a_log(stack: Stack, room: str) -> None:
    async with start_nodes(stack, [Faults(1, 0), Faults(2, 0), Faults(3, 0)]) as (nodes, frames):
        *writers, purger = nodes
        for node in writers:
            node.share(room)
        drafts = [MessageDraft("ann", str(number), content="x") for number in range(60)]
        outcomes: dict[Draft, Stored | ApiError] = {}

        async def send(draft: Draft, number: int) -> None:
            order = [writers[number % 2], writers[1 - number % 2]]
            outcomes[draft] = await send_until_acknowledged(order, room, draft)

        async def purge_often() -> None:
            for _ in range(5):
                await purge(purger.logs, datetime.now(UTC) - timedelta(days=1), days=1)

        await asyncio.gather(
            purge_often(), *(send(one, number) for number, one in enumerate(drafts))
        )
        await asyncio.gather(*(node.wait_until_idle() for node in writers))
        await check(purger, room, frames, outcomes)


async def test_a_leader_confirms_what_the_leader_before_has_committed_for_it(
    stack: Stack, room: str
) -> None:
    """It leads as long as it has drafts, and these go on until the first ones are confirmed."""
    async with start_nodes(stack, [Faults(1, 0), Faults(2, 0)]) as (nodes, frames):
        before, node = nodes
        first = MessageDraft("ann", "0", content="first")
        head = (await before.logs.commit(room, Head(), [first], datetime.now(UTC))).head
        await before.logs.update_head(room, replace(head, leading=True))
        node.share(room)
        waiting = asyncio.create_task(
            node.appender.append(room, MessageDraft("bob", "1", content="in a row"))
        )
        async with asyncio.timeout(DEADLINE_SECONDS):
            head, rows = await before.logs.read_queue(room)
            while not rows:
                head, rows = await before.logs.read_queue(room)
        later = asyncio.create_task(
            node.appender.append(room, MessageDraft("eve", "2", content="in another row"))
        )
        await before.logs.commit(
            room, head, [], datetime.now(UTC), queue=rows, leading=True, published=head.published
        )

        number = 0
        while not waiting.done():
            draft = MessageDraft("carol", str(number), content="keeps the node leading")
            await node.appender.append(room, draft)
            number += 1

        assert isinstance(await waiting, Stored)
        assert isinstance(await later, Stored)
        assert {"in a row", "in another row"} <= {one.content for one in frames}


class FailingForSeqs(LogPublisher):
    """A service that accepts no frame with one of these seqs."""

    def __init__(self, inner: LogPublisher, seqs: set[int]) -> None:
        self._inner = inner
        self._seqs = seqs

    async def publish(self, name: str, epoch: str, entries: Sequence[Entry | Change]) -> None:
        if self._seqs & {entry.seq for entry in entries}:
            raise ServiceRequestError("refused")
        await self._inner.publish(name, epoch, entries)


async def test_a_follower_acknowledges_a_stored_draft_only_after_it_was_published(
    stack: Stack, room: str
) -> None:
    """An instance has stored it and died before it published it; the leader cannot publish it."""
    async with start_nodes(stack, [Faults(1, 0), Faults(2, 0), Faults(3, 0)]) as (nodes, frames):
        dead, leader, follower = nodes
        lost = MessageDraft("ann", "lost", content="stored, and not published")
        await dead.logs.commit(room, Head(), [lost], datetime.now(UTC))
        runtime = leader.appender._runtime  # noqa: SLF001
        runtime.publisher = FailingForSeqs(runtime.publisher, {1})
        for node in (leader, follower):
            node.share(room)
        repeated = asyncio.create_task(send_until_acknowledged([follower], room, lost))
        outcomes: dict[Draft, Stored | ApiError] = {}
        number = 0
        while not repeated.done():
            draft = MessageDraft("bob", str(number), content="keeps the leader busy")
            outcomes[draft] = await send_until_acknowledged([leader], room, draft)
            number += 1

        outcomes[lost] = await repeated
        await check(follower, room, frames, outcomes)
