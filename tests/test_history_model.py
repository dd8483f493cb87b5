"""Whatever two instances do in whatever order, the history is the one that a simple model has."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.parts import Stack
from realtime.errors import ApiError
from realtime.rooms.draft_queue import Stored
from realtime.rooms.drafts import MessageDraft
from tests.instances import Instance, instance

# Who says which id with which text, through which instance; few of each, so that they meet.
SAYINGS = st.tuples(
    st.sampled_from(["ann", "bob"]),
    st.sampled_from("123456"),
    st.sampled_from(["same text", "other text"]),
    st.integers(0, 1),
)
ROUNDS = st.lists(st.lists(SAYINGS, min_size=1, max_size=12), min_size=1, max_size=4)


class Model:
    """A history in memory: a list, and what each person's id stands for."""

    def __init__(self) -> None:
        self.places: dict[tuple[str, str], int] = {}
        self.contents: dict[tuple[str, str], str] = {}

    def check(self, draft: MessageDraft, fate: Stored | Exception) -> None:
        """Take a fate if it may be; of two texts with one id, said at once, either may win."""
        known = self.places.get((draft.sender, draft.id))
        if isinstance(fate, Stored):
            if known is None:
                self.places[draft.sender, draft.id] = fate.seq
                self.contents[draft.sender, draft.id] = draft.content
            else:
                assert fate.seq == known
                assert self.contents[draft.sender, draft.id] == draft.content
        else:
            assert isinstance(fate, ApiError)
            assert fate.code == "id_conflict"
            assert known is not None


async def say(one: Instance, room: str, draft: MessageDraft) -> Stored | Exception:
    try:
        return await one.appender.append(room, draft)
    except ApiError as refused:
        return refused


async def play(stack: Stack, rounds: Sequence[Sequence[tuple[str, str, str, int]]]) -> None:
    room, model = f"room-{uuid4().hex}", Model()
    async with instance(stack) as first, instance(stack) as second:
        for sayings in rounds:
            drafts = [
                (MessageDraft(who, name, content=text), (first, second)[at])
                for who, name, text, at in sayings
            ]
            fates = await asyncio.gather(*(say(at, room, draft) for draft, at in drafts))
            outcome = list(zip((draft for draft, _ in drafts), fates, strict=True))
            for draft, fate in sorted(outcome, key=lambda one: isinstance(one[1], Exception)):
                model.check(draft, fate)

        page = await first.history.read_page(room, 200)
        assert [entry.seq for entry in page.messages] == list(range(1, len(model.places) + 1))
        found = {(entry.sender, entry.id): entry.seq for entry in page.messages}
        assert found == model.places
        contents = {(entry.sender, entry.id): entry.content for entry in page.messages}
        assert contents == model.contents


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rounds=ROUNDS)
def test_random_messages_through_two_instances_are_stored_once(
    stack: Stack, rounds: Sequence[Sequence[tuple[str, str, str, int]]]
) -> None:
    asyncio.run(play(stack, rounds))
