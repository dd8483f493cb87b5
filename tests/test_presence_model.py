"""Presence is correct after events that are late, repeated or lost."""

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
    """A connection opens or closes; one of two instances receives the event `received` times."""

    user: str
    opens: bool
    received: int
    instance: int


STEPS = st.lists(
    st.builds(
        Step,
        user=st.sampled_from(["ann", "bob"]),
        opens=st.booleans(),
        received=st.integers(0, 2),
        instance=st.integers(0, 1),
    ),
    max_size=12,
)


async def connect(one: Instance, http: aiohttp.ClientSession, room: str, user: str) -> Connection:
    token = await one.hub.get_client_access_token(user, groups=[room_group(room)], roles=[])
    return await Connection.open(http, token.url, PLAIN)


async def disconnect(one: Instance, connection: Connection) -> None:
    """Close a connection and wait until the service no longer lists it."""
    await connection.close()
    while await one.hub._client.connection_exists(connection.id):  # noqa: SLF001
        pass


async def handle_event(one: Instance, room: str, step: Step) -> None:
    """What the app does when it receives the event of a step."""
    if not step.opens:
        return await one.presence.announce_left(room, step.user)
    roster = await one.presence.roster(room)
    if step.user in roster.users:
        await one.presence.announce_joined(room, step.user, roster)
    return None


async def run_steps(stack: Stack, tables: str, steps: Sequence[Step]) -> None:
    room = f"room-{uuid4().hex}"
    tabs: defaultdict[str, list[Connection]] = defaultdict(list)
    async with (
        aiohttp.ClientSession() as http,
        serve() as service,
        instance(stack, tables=tables, hub=service.connection_string) as first,
        instance(stack, tables=tables, hub=service.connection_string) as second,
    ):
        watcher = await connect(first, http, room, "watcher")
        await handle_event(first, room, Step("watcher", opens=True, received=1, instance=0))
        for step in steps:
            if step.opens:
                tabs[step.user].append(await connect(first, http, room, step.user))
            elif tabs[step.user]:
                await disconnect(first, tabs[step.user].pop())
            receiver = (first, second)[step.instance]
            await asyncio.gather(
                *(handle_event(receiver, room, step) for _ in range(step.received))
            )
        await second.presence.reconcile()

        present = {user for user, open_tabs in tabs.items() if open_tabs}
        assert set((await first.presence.roster(room)).users) == present | {"watcher"}
        await first.hub.send_to_group(room_group(room), {"type": "end"})
        await watcher.receive(type="end")
        for user in ("ann", "bob"):
            events = [frame["event"] for frame in watcher.received if frame.get("user_id") == user]
            pairs = ["joined", "left"] * (len(events) // 2)
            assert events == pairs + ["joined"] * (user in present)
        for connection in [watcher, *tabs["ann"], *tabs["bob"]]:
            await connection.close()


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_presence_is_correct_after_lost_and_repeated_events(
    stack: Stack, separate_tables: str, steps: Sequence[Step]
) -> None:
    asyncio.run(run_steps(stack, separate_tables, steps))
