"""Departures: "left" is published after the grace period, and no request waits for it."""

import asyncio

from realtime.rooms.departures import MAX_WAITING_DEPARTURES, Departures
from tests.instances import Instance, instance
from tests.users import PLAIN, User

GRACE = 5.0


class Clock:
    """A clock that `sleep` advances once `started` is set."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.started = asyncio.Event()
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)
        await self.started.wait()
        self.time += seconds


async def test_a_user_who_returns_within_the_grace_period_is_not_announced(
    ann: User, bob: User, one: Instance, room: str
) -> None:
    clock = Clock()
    departures = Departures(one.presence, grace_seconds=GRACE, clock=clock, sleep=clock.sleep)
    async with ann.connect(room) as ann_tab, bob.connect(room, subprotocol=PLAIN):
        await ann_tab.receive(type="system", user_id=bob.id, event="joined")
        departures.add([room], bob.id)
        departures.add([room], "ghost-22222222")
        roster = await one.presence.roster(room)
        await one.presence.announce_joined(room, "ghost-22222222", roster)

        clock.started.set()
        await ann_tab.receive(type="system", user_id="ghost-22222222", event="left")

        await ann_tab.send_message(room, "the end")
        await ann_tab.receive(type="message", content="the end")
        events = [one["event"] for one in ann_tab.received if one.get("user_id") == bob.id]
        assert events == ["joined"]
        assert clock.slept == [GRACE]


async def test_a_suspended_instance_announces_departures_when_it_resumes(
    stack: object, ann: User, one: Instance, room: str
) -> None:
    """The platform may suspend an instance between two invocations while time passes."""
    clock = Clock()
    departures = Departures(one.presence, grace_seconds=GRACE, clock=clock, sleep=clock.sleep)
    async with ann.connect(room) as ann_tab, instance(stack) as other:
        roster = await one.presence.roster(room)
        for user in ("ghost-22222222", "ghost-33333333"):
            await one.presence.announce_joined(room, user, roster)
            departures.add([room], user)

        # Meanwhile the timer runs on another instance.
        await other.presence.reconcile()
        clock.time += 3600
        clock.started.set()

        await ann_tab.receive(type="system", user_id="ghost-22222222", event="left")
        await ann_tab.receive(type="system", user_id="ghost-33333333", event="left")
        await ann_tab.send_message(room, "the end")
        await ann_tab.receive(type="message", content="the end")
        assert sum(one.get("event") == "left" for one in ann_tab.received) == 2


async def test_the_number_of_waiting_departures_is_bounded(one: Instance) -> None:
    departures = Departures(one.presence, sleep=Clock().sleep)

    for number in range(3):
        departures.add([f"room-{room}" for room in range(MAX_WAITING_DEPARTURES // 2)], str(number))

    assert len(departures) == MAX_WAITING_DEPARTURES
