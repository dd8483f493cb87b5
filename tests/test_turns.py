"""Busy instances commit in turn, and do not wait for one that stops or has nothing to commit."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from local.parts import Stack
from realtime.errors import ApiError
from realtime.rooms import contention
from realtime.rooms.draft_queue import Stored
from realtime.rooms.drafts import Draft, MessageDraft
from realtime.rooms.log_rows import QUEUE_PREFIX, Head
from tests.test_history_sharing import (
    Faults,
    Node,
    check,
    send_until_acknowledged,
    start_nodes,
)

SENDERS = 8
"""Of each instance: enough that it is busy."""


class Heads:
    """The heads that some instances have written, in order: who wrote, and whose turn was next."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.heads: list[tuple[str, str]] = []
        self.begun = asyncio.Event()
        self._etags: set[str] = set()
        for node in nodes:
            self._record(node)

    def _record(self, node: Node) -> None:
        put = node.logs._heads.put  # noqa: SLF001

        def record(name: str, head: Head) -> None:
            put(name, head)
            if head.writer == node.logs.instance and head.etag not in self._etags:
                self._etags.add(head.etag)
                self.heads.append((head.writer, head.turns[0] if head.turns else ""))
            if head.turns:
                self.begun.set()

        node.logs._heads.put = record  # type: ignore[method-assign] # noqa: SLF001


async def send_one_after_the_other(
    nodes: Sequence[Node], room: str, sender: str, count: int, outcomes: dict[Draft, Any]
) -> None:
    """As a client does: the next message when the one before is acknowledged."""
    for number in range(count):
        draft = MessageDraft(sender, f"{sender}-{number}", content=f"text {number}")
        outcomes[draft] = await send_until_acknowledged(nodes, room, draft)


async def send_from_all(
    nodes: Sequence[Node], room: str, count: int
) -> dict[Draft, Stored | ApiError]:
    """Each instance has senders of its own, who send through the others when theirs has stopped."""
    outcomes: dict[Draft, Stored | ApiError] = {}
    orders = [[*nodes[first:], *nodes[:first]] for first in range(len(nodes))]
    await asyncio.gather(
        *(
            send_one_after_the_other(order, room, f"user{first}-{number}", count, outcomes)
            for first, order in enumerate(orders)
            for number in range(SENDERS)
        )
    )
    return outcomes


async def test_two_busy_instances_commit_in_turn(
    stack: Stack, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contention, "TURN_TIMEOUT_SECONDS", 30.0)
    async with start_nodes(stack, [Faults(1, 0), Faults(2, 0)]) as (nodes, frames):
        written = Heads(nodes)
        for node in nodes:
            node.share(room)

        outcomes = await send_from_all(nodes, room, 12)

        await asyncio.gather(*(node.wait_until_idle() for node in nodes))
        await check(nodes[0], room, frames, outcomes)
        assert all(isinstance(one, Stored) for one in outcomes.values())
        assert len(outcomes) == 2 * SENDERS * 12
        one, other = (node.logs.instance for node in nodes)
        assert written.heads.count((one, other)) >= 3
        assert written.heads.count((other, one)) >= 3
        for (_, turn), (writer, _) in zip(written.heads, written.heads[1:], strict=False):
            assert turn in {"", writer}


async def test_the_turn_of_an_instance_that_has_stopped_expires(stack: Stack, room: str) -> None:
    """Its queue row is the last that it has done."""
    async with start_nodes(stack, [Faults(1, 0)]) as ((one,), _):
        written = Heads([one])
        await one.appender.append(room, MessageDraft("ann", "first", content="first"))
        head = await one.logs.read_head(room)
        lost: list[Draft] = [MessageDraft(f"bob{n}", "1", content="x") for n in range(2 * SENDERS)]
        key = f"{QUEUE_PREFIX}{time.time_ns() // 1_000_000:013}-stopped-1"
        await one.logs.insert_queue_row(room, key, head.epoch, lost)
        one.share(room)

        outcomes = await send_from_all([one], room, 5)

        await one.wait_until_idle()
        assert (one.logs.instance, "stopped") in written.heads
        assert [turn for _, turn in written.heads].count("stopped") == 1
        for seq, draft in enumerate(lost, 2):
            outcomes[draft] = Stored(head.epoch, seq)
        stored = {entry.sender for entry in (await one.history.read_page(room, 200)).messages}
        assert stored >= {draft.sender for draft in lost}
        assert (await one.logs.read_head(room)).turns == ()


async def test_an_instance_that_has_nothing_to_commit_ends_the_turns(
    stack: Stack, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has drafts for a few commits. If the turns did not end, the test would take 30 s."""
    monkeypatch.setattr(contention, "TURN_TIMEOUT_SECONDS", 30.0)
    async with start_nodes(stack, [Faults(1, 0), Faults(2, 0)]) as (nodes, frames):
        written = Heads(nodes)

        async with asyncio.timeout(20):
            while not written.begun.is_set():
                frames.clear()
                room += "-"
                for node in nodes:
                    node.share(room)
                outcomes = await send_from_all(nodes, room, 3)
            await asyncio.gather(*(node.wait_until_idle() for node in nodes))

        await check(nodes[0], room, frames, outcomes)
        assert (await nodes[0].logs.read_head(room)).turns == ()


async def test_a_third_instance_is_not_kept_waiting(
    stack: Stack, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue row ends the turns of the two others; it need not take over."""
    monkeypatch.setattr(contention, "TURN_TIMEOUT_SECONDS", 30.0)
    monkeypatch.setattr(contention, "ROW_TIMEOUT_SECONDS", 30.0)
    faults = [Faults(number, 0) for number in range(3)]
    async with start_nodes(stack, faults) as (nodes, frames):
        *busy, third = nodes
        written = Heads(nodes)
        for node in nodes:
            node.share(room)
        sending = asyncio.create_task(send_from_all(busy, room, 40))
        async with asyncio.timeout(30):
            await written.begun.wait()
            draft = MessageDraft("carol", "1", content="hello")
            outcome = await third.appender.append(room, draft)

        assert isinstance(outcome, Stored)
        outcomes = await sending
        await asyncio.gather(*(node.wait_until_idle() for node in nodes))
        await check(third, room, frames, outcomes | {draft: outcome})


async def test_no_message_is_lost_when_one_of_two_instances_stops_after_any_step(
    stack: Stack, room: str
) -> None:
    async with asyncio.TaskGroup() as group:
        for steps in range(4, 40, 3):
            group.create_task(write_while_one_stops(stack, f"{room}-{steps}", steps))


async def write_while_one_stops(stack: Stack, room: str, steps: int) -> None:
    faults = [Faults(1, 0, steps), Faults(2, 0), Faults(3, 0)]
    async with start_nodes(stack, faults) as (nodes, frames):
        *writers, reader = nodes
        for node in writers:
            node.share(room)

        outcomes = await send_from_all(writers, room, 4)

        await writers[1].wait_until_idle()
        await check(reader, room, frames, outcomes)
