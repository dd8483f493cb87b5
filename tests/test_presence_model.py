"""Whatever comes late, doubled or not at all, presence ends right and tells no nonsense."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

import aiohttp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webpubsub_emulator import serve

from local.parts import Stack
from realtime.names import room_group
from tests.instances import Instance, instance
from tests.users import PLAIN, Connection


class Step(NamedTuple):
    """A connection comes or goes; one of two instances receives of it so many times."""

    who: str
    comes: bool
    received: int
    at: int


STEPS = st.lists(
    st.builds(
        Step,
        who=st.sampled_from(["ann", "bob"]),
        comes=st.booleans(),
        received=st.integers(0, 2),
        at=st.integers(0, 1),
    ),
    max_size=12,
)


async def come(one: Instance, http: aiohttp.ClientSession, room: str, who: str) -> Connection:
    ticket = await one.hub.get_client_access_token(who, groups=[room_group(room)], roles=[])
    return await Connection.open(http, ticket.url, PLAIN)


async def go(one: Instance, connection: Connection) -> None:
    """Closed, and gone from the service's own list."""
    await connection.close()
    while await one.hub._client.connection_exists(connection.id):  # noqa: SLF001
        pass


async def receive(one: Instance, room: str, step: Step) -> None:
    """What the app does when it is told of a step."""
    if not step.comes:
        return await one.presence.announce_left(room, step.who)
    roster = await one.presence.roster(room)
    if step.who in roster.users:
        await one.presence.announce_joined(room, step.who, roster)
    return None


async def play(stack: Stack, tables: str, steps: Sequence[Step]) -> None:
    room = f"room-{uuid4().hex}"
    tabs: defaultdict[str, list[Connection]] = defaultdict(list)
    async with (
        aiohttp.ClientSession() as http,
        serve() as service,
        instance(stack, tables=tables, hub=service.connection_string) as first,
        instance(stack, tables=tables, hub=service.connection_string) as second,
    ):
        watcher = await come(first, http, room, "watcher")
        await receive(first, room, Step("watcher", comes=True, received=1, at=0))
        for step in steps:
            if step.comes:
                tabs[step.who].append(await come(first, http, room, step.who))
            elif tabs[step.who]:
                await go(first, tabs[step.who].pop())
            at = (first, second)[step.at]
            await asyncio.gather(*(receive(at, room, step) for _ in range(step.received)))
        await second.presence.reconcile()

        here = {who for who, open_tabs in tabs.items() if open_tabs}
        assert set((await first.presence.roster(room)).users) == here | {"watcher"}
        await first.hub.send_to_group(room_group(room), {"type": "end"})
        await watcher.receive(type="end")
        for who in ("ann", "bob"):
            told = [frame["event"] for frame in watcher.received if frame.get("user_id") == who]
            assert told == ["joined", "left"] * (len(told) // 2) + ["joined"] * (who in here)
        for connection in [watcher, *tabs["ann"], *tabs["bob"]]:
            await connection.close()


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_presence_is_correct_after_lost_and_repeated_events(
    stack: Stack, separate_tables: str, steps: Sequence[Step]
) -> None:
    asyncio.run(play(stack, separate_tables, steps))
