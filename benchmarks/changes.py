"""What an edit and a reaction cost beside a message: each may cost 1.3 times as much.

All three run in one process, with the same emulator and the same Azurite, and take turns. One
sender at a time: each draft is a commit of its own. Then many senders at once, as in a busy room:
they share commits.
"""

import asyncio
import os
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence

from benchmarks.servers import stack
from benchmarks.table import Row
from realtime.azure.tables import tables
from realtime.azure.web_pubsub import hub
from realtime.rooms.appender import appender
from realtime.rooms.drafts import EditDraft, MessageDraft, ReactionDraft
from realtime.settings import LOCAL_SECRET

TURNS = 300
BUSY_ROUNDS = 12
SENDERS = 100
CONTENT = "Hello, everybody."

Act = Callable[[str, int], Awaitable[object]]


async def run() -> list[Row]:
    with stack() as ours:
        os.environ.update({**ours.environment, "SESSION_SECRET": LOCAL_SECRET})
        try:
            return [*await measure_alone(), *await measure_busy()]
        finally:
            await hub().close()
            await tables().close()


async def measure_alone() -> list[Row]:
    """The median of each; the edits and reactions have a message of their own each."""
    room = await prepare_room(TURNS)
    message, edit, reaction = await take_turns(room, [add_message, add_edit, add_reaction])
    return [
        Row("an edit: p50", edit, "ms", message, "a message"),
        Row("a reaction: p50", reaction, "ms", message, "a message"),
    ]


async def measure_busy() -> list[Row]:
    """Drafts a second of SENDERS at once."""
    room = await prepare_room(BUSY_ROUNDS * SENDERS)
    acts = [add_message, add_edit, add_reaction]
    seconds = [0.0 for _ in acts]
    for number in range(BUSY_ROUNDS):
        for place, act in enumerate(acts):
            began = time.perf_counter()
            await asyncio.gather(
                *(act(room, number * SENDERS + sender) for sender in range(SENDERS))
            )
            seconds[place] += time.perf_counter() - began
    message, edit, reaction = (1000 * one / (BUSY_ROUNDS * SENDERS) for one in seconds)
    return [
        Row(f"an edit of {SENDERS} at once", edit, "ms", message, "a message"),
        Row(f"a reaction of {SENDERS} at once", reaction, "ms", message, "a message"),
    ]


async def prepare_room(messages: int) -> str:
    """A room with messages that can be changed, all by different senders."""
    room = f"changes-{uuid.uuid4().hex[:8]}"
    for start in range(0, messages, SENDERS):
        numbers = range(start, min(start + SENDERS, messages))
        await asyncio.gather(*(add_message(room, number, "target") for number in numbers))
    return room


def user_of(number: int) -> str:
    return f"user{number}-22222222"


async def add_message(room: str, number: int, prefix: str = "message") -> None:
    draft = MessageDraft(user_of(number), f"{prefix}-{number}", content=CONTENT)
    stored = await appender().append(room, draft)
    if prefix == "target":
        SEQS[room, number] = stored.seq


async def add_edit(room: str, number: int) -> None:
    target = SEQS[room, number]
    draft = EditDraft(user_of(number), f"edit-{number}", target=target, content="Hello, all.")
    await appender().append(room, draft)


async def add_reaction(room: str, number: int) -> None:
    target = SEQS[room, number]
    await appender().append(
        room, ReactionDraft(user_of(number), f"react-{number}", target=target, emoji="👍")
    )


SEQS: dict[tuple[str, int], int] = {}
"""The seq of each target by room and number."""


async def take_turns(room: str, acts: Sequence[Act]) -> list[float]:
    """The median of each, in ms. They take turns, so that other load affects all of them."""
    times: list[list[float]] = [[] for _ in acts]
    for number in range(TURNS):
        for act, taken in zip(acts, times, strict=True):
            began = time.perf_counter()
            await act(room, number)
            taken.append(time.perf_counter() - began)
    return [statistics.median(taken) * 1000 for taken in times]
