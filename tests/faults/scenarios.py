"""The scenarios: each makes one kind of fault for some seconds while clients write."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from realtime.messages import Entry
from tests.faults.load import Load
from tests.faults.network import Disturbance
from tests.faults.world import World

ReadMessages = Callable[[], Awaitable[dict[int, Entry]]]
"""Reads the messages of the history, by seq."""

Check = Callable[[ReadMessages], Awaitable[list[str]]]


@dataclass
class Run:
    """One run of a scenario. `excused` are times whose messages the storage itself has lost."""

    world: World
    load: Load
    room: str
    seconds: float
    excused: list[tuple[float, float]] = field(default_factory=list)
    faults: int = 0
    extra_users: int = 0
    """Users in the room beside the load."""
    violations: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    """What else is compared with the history when the faults are over."""
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _ends_at: float = 0.0

    def __post_init__(self) -> None:
        self.restart_clock()

    def restart_clock(self) -> None:
        self._ends_at = time.monotonic() + self.seconds

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self._ends_at

    async def pause(self, shortest: float, longest: float) -> bool:
        """Wait for a random time; whether the scenario still goes on."""
        chance = self.world.chance.random()
        left = max(0.0, self._ends_at - time.monotonic())
        await asyncio.sleep(min(left, shortest + chance * (longest - shortest)))
        return self.goes_on


@dataclass(frozen=True)
class Scenario:
    """`seconds` is how long its faults last in a full run."""

    name: str
    title: str
    seconds: float
    run: Callable[[Run], Awaitable[None]]
    writers: int = 4


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    name: str, title: str, seconds: float, writers: int = 4
) -> Callable[[Callable[[Run], Awaitable[None]]], Callable[[Run], Awaitable[None]]]:
    """Declare a scenario."""

    def declare(run: Callable[[Run], Awaitable[None]]) -> Callable[[Run], Awaitable[None]]:
        SCENARIOS[name] = Scenario(name, title, seconds, run, writers)
        return run

    return declare


# --- instances --------------------------------------------------------------------------------


@scenario("kill-hosts", "one of two hosts is killed, again and again", 50)
async def kill_hosts(run: Run) -> None:
    while await run.pause(1.0, 3.0):
        await run.world.kill(run.world.chance.choice(run.world.hosts))
        run.faults += 1


@scenario("kill-contended", "kills while three hosts write the room and storage fails", 40, 10)
async def kill_contended(run: Run) -> None:
    await run.world.add_host()
    run.world.storage_proxy.disturbance = Disturbance(
        refuse=0.02, fail=0.02, lose=0.02, delay=0.3, delay_seconds=0.1
    )
    try:
        while await run.pause(0.5, 2.0):
            await run.world.kill(run.world.chance.choice(run.world.hosts))
            run.faults += 1
    finally:
        await run.world.remove_host()


# --- storage ----------------------------------------------------------------------------------


@scenario("storage-fails", "storage refuses, delays, responds 429/500/503 or loses responses", 45)
async def storage_fails(run: Run) -> None:
    while await run.pause(0.0, 0.0):
        rate = run.world.chance.uniform(0.02, 0.25)
        run.world.storage_proxy.disturbance = Disturbance(
            refuse=rate, fail=rate, lose=rate, delay=rate, delay_seconds=2.0
        )
        await run.pause(2.0, 6.0)
    run.faults += run.world.storage_proxy.faults


@scenario("storage-slow", "each call to storage takes up to 5 s", 25)
async def storage_slow(run: Run) -> None:
    run.world.storage_proxy.disturbance = Disturbance(delay=1.0, delay_seconds=5.0)
    await run.pause(run.seconds, run.seconds)
    run.faults += run.world.storage_proxy.faults


@scenario("restart-tables", "storage is stopped and started", 30)
async def restart_tables(run: Run) -> None:
    while await run.pause(4.0, 8.0):
        await run.world.restart(run.world.tables)
        run.faults += 1


@scenario("crash-tables", "storage is killed and loses its last seconds", 30)
async def crash_tables(run: Run) -> None:
    while await run.pause(8.0, 12.0):
        # The local storage writes its data every 5 s.
        await run.world.kill(run.world.tables)
        run.excused.append((time.time() - 20.0, time.time()))
        run.faults += 1


# --- service ----------------------------------------------------------------------------------


@scenario(
    "service-fails", "the service refuses, delays, responds 429/500/503 or loses responses", 45
)
async def service_fails(run: Run) -> None:
    while await run.pause(0.0, 0.0):
        rate = run.world.chance.uniform(0.02, 0.25)
        run.world.service_proxy.disturbance = Disturbance(
            refuse=rate, fail=rate, lose=rate, delay=rate, delay_seconds=2.0
        )
        run.world.balancer.disturbance = Disturbance(refuse=0.02, fail=0.02, lose=0.02)
        await run.pause(2.0, 6.0)
    run.faults += run.world.service_proxy.faults + run.world.balancer.faults


@scenario("restart-service", "the service is killed: every connection is lost", 40)
async def restart_service(run: Run) -> None:
    while await run.pause(5.0, 10.0):
        await run.world.kill(run.world.service)
        run.faults += 1


@scenario("lost-frames", "frames to the clients are lost", 30)
async def lost_frames(run: Run) -> None:
    while await run.pause(0.5, 2.0):
        count = run.world.chance.randint(1, 10)
        await run.world.drop_frames(count)
        run.faults += count


# --- sockets ----------------------------------------------------------------------------------


@scenario("cut-sockets", "sockets are cut, or stay open without a response", 45)
async def cut_sockets(run: Run) -> None:
    while await run.pause(3.0, 8.0):
        if run.world.chance.random() < 0.6:
            run.world.sockets.cut()
            continue
        run.world.sockets.silence(new=run.world.chance.random() < 0.5)
        await run.pause(5.0, 12.0)
        run.world.sockets.restore()
    run.world.sockets.restore()
    run.faults += run.world.sockets.cuts
