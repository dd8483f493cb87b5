"""What an edit and a reaction cost beside a message: each may cost 1.3 times as much.

All three run in one process, with the same emulator and the same Azurite, and take turns. One
sender at a time: each draft is a commit of its own. Then many senders at once, as in a busy room:
they share commits. Each change has a message of its own, but for the reactions to one message.

The instance has cached the messages, because it has stored them. In the lines "not cached" another
instance has stored them, so that each change needs a read.
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
from realtime.rooms.appender import Appender, appender
from realtime.rooms.drafts import EditDraft, MessageDraft, ReactionDraft
from realtime.rooms.log import LogStore, logs
from realtime.rooms.publisher import log_publisher
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
            other = Appender(LogStore(tables()), log_publisher())
            return [
                *await measure_alone("", appender()),
                *await measure_alone(", not cached", other),
                *await measure_busy("", appender()),
                *await measure_busy(", not cached", other),
            ]
        finally:
            await hub().close()
            await tables().close()


async def measure_alone(state: str, author: Appender) -> list[Row]:
    """The median of each."""
    room = await prepare_room(author, 2 * TURNS)
    message, edit, reaction = await take_turns(room, [add_message, add_edit, add_reaction])
    return [
        Row(f"an edit{state}: p50", edit, "ms", message, "a message"),
        Row(f"a reaction{state}: p50", reaction, "ms", message, "a message"),
    ]


async def measure_busy(state: str, author: Appender) -> list[Row]:
    """The time of a draft of SENDERS at once."""
    room = await prepare_room(author, 2 * BUSY_ROUNDS * SENDERS)
    acts = [add_message, add_edit, add_reaction, add_reaction_to_one]
    seconds = [0.0 for _ in acts]
    for number in range(BUSY_ROUNDS):
        for place, act in enumerate(acts):
            began = time.perf_counter()
            await asyncio.gather(
                *(act(room, number * SENDERS + sender) for sender in range(SENDERS))
            )
            seconds[place] += time.perf_counter() - began
    message, *changes = (1000 * one / (BUSY_ROUNDS * SENDERS) for one in seconds)
    names = ("an edit", "a reaction", "a reaction to the same message")
    return [
        Row(f"{name} of {SENDERS} at once{state}", change, "ms", message, "a message")
        for name, change in zip(names, changes, strict=True)
    ]


async def prepare_room(author: Appender, messages: int) -> str:
    """A room with messages that can be changed: two of each user, one to edit, one to react to."""
    room = f"changes-{uuid.uuid4().hex[:8]}"
    for start in range(0, messages, SENDERS):
        numbers = range(start, min(start + SENDERS, messages))
        await asyncio.gather(*(add_target(author, room, number) for number in numbers))
    # So that no message is the first of its author, which costs a write more.
    await logs().index.authors.add(room, {user_of(number) for number in range(messages // 2)})
    return room


def user_of(number: int) -> str:
    return f"user{number}-22222222"


async def add_target(author: Appender, room: str, number: int) -> None:
    draft = MessageDraft(user_of(number // 2), f"target-{number}", content=CONTENT)
    SEQS[room, number] = (await author.append(room, draft)).seq


async def add_message(room: str, number: int) -> None:
    draft = MessageDraft(user_of(number), f"message-{number}", content=CONTENT)
    await appender().append(room, draft)


async def add_edit(room: str, number: int) -> None:
    target = SEQS[room, 2 * number]
    draft = EditDraft(user_of(number), f"edit-{number}", target=target, content="Hello, all.")
    await appender().append(room, draft)


async def add_reaction(room: str, number: int) -> None:
    await react(room, number, 2 * number + 1, "👍")


async def add_reaction_to_one(room: str, number: int) -> None:
    """SENDERS users react to the same message."""
    await react(room, number, 2 * (number - number % SENDERS) + 1, "🎉")


async def react(room: str, number: int, target: int, emoji: str) -> None:
    client_id = f"react-{target}-{emoji}"
    draft = ReactionDraft(user_of(number), client_id, target=SEQS[room, target], emoji=emoji)
    await appender().append(room, draft)


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
