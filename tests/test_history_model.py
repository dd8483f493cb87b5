"""Random messages through two instances produce the same history as a simple model."""

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

# Sender, id, text and instance of a message; few of each, so that they collide.
MESSAGES = st.tuples(
    st.sampled_from(["ann", "bob"]),
    st.sampled_from("123456"),
    st.sampled_from(["same text", "other text"]),
    st.integers(0, 1),
)
ROUNDS = st.lists(st.lists(MESSAGES, min_size=1, max_size=12), min_size=1, max_size=4)


class Model:
    """A history in memory: the seq and the content of each sender's ids."""

    def __init__(self) -> None:
        self.seqs: dict[tuple[str, str], int] = {}
        self.contents: dict[tuple[str, str], str] = {}

    def check(self, draft: MessageDraft, outcome: Stored | Exception) -> None:
        """Check an outcome and apply it. Of two texts with one id, either may be stored."""
        known = self.seqs.get((draft.sender, draft.id))
        if isinstance(outcome, Stored):
            if known is None:
                self.seqs[draft.sender, draft.id] = outcome.seq
                self.contents[draft.sender, draft.id] = draft.content
            else:
                assert outcome.seq == known
                assert self.contents[draft.sender, draft.id] == draft.content
        else:
            assert isinstance(outcome, ApiError)
            assert outcome.code == "id_conflict"
            assert known is not None


async def append(one: Instance, room: str, draft: MessageDraft) -> Stored | Exception:
    try:
        return await one.appender.append(room, draft)
    except ApiError as error:
        return error


async def run_rounds(stack: Stack, rounds: Sequence[Sequence[tuple[str, str, str, int]]]) -> None:
    room, model = f"room-{uuid4().hex}", Model()
    async with instance(stack) as first, instance(stack) as second:
        for messages in rounds:
            drafts = [
                (MessageDraft(sender, name, content=text), (first, second)[number])
                for sender, name, text, number in messages
            ]
            outcomes = await asyncio.gather(
                *(append(writer, room, draft) for draft, writer in drafts)
            )
            pairs = list(zip((draft for draft, _ in drafts), outcomes, strict=True))
            for draft, outcome in sorted(pairs, key=lambda one: isinstance(one[1], Exception)):
                model.check(draft, outcome)

        page = await first.history.read_page(room, 200)
        assert [entry.seq for entry in page.messages] == list(range(1, len(model.seqs) + 1))
        found = {(entry.sender, entry.id): entry.seq for entry in page.messages}
        assert found == model.seqs
        contents = {(entry.sender, entry.id): entry.content for entry in page.messages}
        assert contents == model.contents


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rounds=ROUNDS)
def test_random_messages_through_two_instances_are_stored_once(
    stack: Stack, rounds: Sequence[Sequence[tuple[str, str, str, int]]]
) -> None:
    asyncio.run(run_rounds(stack, rounds))
