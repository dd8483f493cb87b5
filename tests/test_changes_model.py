"""Random changes through two instances, of which each has outdated messages, come to what a simple
model says."""

import asyncio
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from local.parts import Stack
from realtime.errors import ApiError
from realtime.rooms.drafts import (
    DeleteDraft,
    Draft,
    EditDraft,
    MessageDraft,
    ReactionDraft,
)
from realtime.rooms.log import ConflictError
from tests.instances import Instance, instance
from tests.test_restore import copy_rows, restore

USERS = st.sampled_from(["ann", "bob"])
TARGETS = st.integers(1, 4)
ACTIONS = st.one_of(
    st.tuples(st.just("message"), USERS),
    st.tuples(st.just("edit"), USERS, TARGETS, st.integers(-1, 1)),
    st.tuples(st.just("delete"), USERS, TARGETS),
    st.tuples(st.just("react"), USERS, TARGETS, st.sampled_from("👍🎉"), st.booleans()),
    st.tuples(st.just("reply"), USERS, TARGETS),
    st.tuples(st.just("copy")),
    st.tuples(st.just("restore")),
)
STEPS = st.lists(st.tuples(st.integers(0, 1), ACTIONS), min_size=1, max_size=25)


@dataclass
class Message:
    """What the model knows of a message."""

    author: str
    content: str
    revision: int = 0
    deleted: bool = False
    reactions: set[tuple[str, str]] = field(default_factory=set)

    @property
    def counts(self) -> dict[str, int]:
        emojis = [emoji for _, emoji in self.reactions]
        return {emoji: emojis.count(emoji) for emoji in emojis}


@dataclass
class Model:
    """A log in memory."""

    seq: int = 0
    messages: dict[int, Message] = field(default_factory=dict)

    def apply(self, draft: Draft) -> int | str:
        """The outcome of a draft: a seq, 0, or an error code."""
        if isinstance(draft, MessageDraft):
            if draft.reply_to is not None and draft.reply_to not in self.messages:
                return "unknown_message"
            self.seq += 1
            self.messages[self.seq] = Message(draft.sender, draft.content)
            return self.seq
        assert isinstance(draft, EditDraft | DeleteDraft | ReactionDraft)
        target = self.messages.get(draft.target)
        if target is None:
            return "unknown_message"
        if target.deleted:
            return "message_deleted"
        outcome = self._change(target, draft)
        if outcome is None:
            self.seq += 1
            return self.seq
        return outcome

    def _change(self, target: Message, draft: Draft) -> int | str | None:
        if isinstance(draft, ReactionDraft):
            reaction = (draft.sender, draft.emoji)
            if (reaction in target.reactions) == draft.on:
                return 0
            target.reactions ^= {reaction}
            return None
        if target.author != draft.sender:
            return "forbidden"
        if isinstance(draft, EditDraft):
            if target.revision != draft.revision:
                return "conflict"
            target.content, target.revision = draft.content, target.revision + 1
        else:
            target.content, target.deleted, target.reactions = "", True, set()
        return None


def draft_of(model: Model, action: Sequence[Any]) -> Draft:
    """A draft with a new id; an edit has the present revision, or one before or after it."""
    kind, user, *rest = action
    client_id = uuid4().hex
    if kind == "message":
        return MessageDraft(user, client_id, content=client_id)
    if kind == "reply":
        return MessageDraft(user, client_id, content=client_id, reply_to=rest[0])
    if kind == "edit":
        known = model.messages.get(rest[0])
        revision = max((known.revision if known else 0) + rest[1], 0)
        return EditDraft(user, client_id, target=rest[0], content=client_id, revision=revision)
    if kind == "delete":
        return DeleteDraft(user, client_id, target=rest[0])
    return ReactionDraft(user, client_id, target=rest[0], emoji=rest[1], on=rest[2])


async def store(one: Instance, room: str, draft: Draft) -> int | str:
    """Commit after the cached head, as an instance does that has met no other writer."""
    while True:
        head = await one.logs.cached_head(room)
        try:
            commit = await one.logs.commit(room, head, [draft], datetime.now(UTC))
        except ConflictError:
            continue
        outcome = commit.outcomes[draft]
        return outcome.code if isinstance(outcome, ApiError) else outcome


async def run_steps(stack: Stack, steps: Sequence[tuple[int, Sequence[Any]]]) -> None:
    """A restore brings back the rows of the last copy, with other etags."""
    room, model = f"room-{uuid4().hex}", Model()
    async with instance(stack) as first, instance(stack) as second:
        for number in range(3):
            draft = draft_of(model, ("message", ("ann", "bob")[number % 2]))
            assert await store((first, second)[number % 2], room, draft) == model.apply(draft)
        copy, copied = await copy_rows(first, room), deepcopy(model)
        for writer, action in steps:
            one = (first, second)[writer]
            if action[0] == "copy":
                copy, copied = await copy_rows(first, room), deepcopy(model)
                continue
            if action[0] == "restore":
                await restore(first, room, copy)
                model = deepcopy(copied)
                continue
            draft = draft_of(model, action)
            assert await store(one, room, draft) == model.apply(draft)

        for reader in ("ann", "bob"):
            page = await first.history.read_page(room, 200, reader=reader)
            found = {
                entry.seq: (entry.content, entry.revision, entry.reactions, set(entry.mine))
                for entry in page.messages
            }
            assert found == {
                seq: (
                    one.content,
                    one.revision + one.deleted,
                    one.counts,
                    {emoji for user, emoji in one.reactions if user == reader},
                )
                for seq, one in model.messages.items()
            }
            assert page.head.seq == model.seq


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
@example(steps=[(0, ("react", "bob", 1, "👍", True)), (1, ("react", "bob", 1, "👍", False)),
                (0, ("react", "bob", 1, "👍", True))])  # fmt: skip
def test_random_changes_through_two_instances_come_to_the_state_of_the_model(
    stack: Stack, steps: Sequence[tuple[int, Sequence[Any]]]
) -> None:
    asyncio.run(run_steps(stack, steps))
