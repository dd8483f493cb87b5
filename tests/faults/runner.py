"""Runs a scenario: load, faults, an end of the faults, and the checker."""

import asyncio
import random
import time
from dataclasses import dataclass, field

from tests.faults.checker import (
    Findings,
    check_client,
    check_log,
    find_ghosts,
    find_unsettled,
    read_log,
    read_pages,
)
from tests.faults.load import Load
from tests.faults.scenarios import Run, Scenario
from tests.faults.world import World

START_TIMEOUT_SECONDS = 60.0
SETTLE_TIMEOUT_SECONDS = 100.0
"""A missing tail or a ghost is healed within 90 s by the heartbeat."""

RECONCILE_SECONDS = 10.0
"""The heartbeat comes each minute; the check lets it run more often."""

POLL_SECONDS = 0.5


@dataclass
class Result:
    """The line of a scenario in the table."""

    scenario: str
    seed: int
    faults: int = 0
    confirmed: int = 0
    stored: int = 0
    settle_seconds: float = 0.0
    findings: Findings = field(default_factory=Findings)
    problem: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.problem and self.findings.total == 0


async def run_scenario(
    world: World, scenario: Scenario, seconds: float, seed: int, pace: float = 1.0
) -> Result:
    """Violations are in the result and raise nothing."""
    world.chance.seed(seed)
    for proxy in (world.balancer, world.storage_proxy, world.service_proxy):
        proxy.faults = 0
    world.sockets.cuts = 0
    room = f"{scenario.name}-{random.getrandbits(32):x}"
    result = Result(scenario.name, seed)
    load = Load(world.url, room, seed, servers=scenario.writers)
    run = Run(world, load, room, seconds)
    try:
        await load.start()
        await load.write(pace)
        await load.wait_until_confirmed(20, START_TIMEOUT_SECONDS)
        run.restart_clock()
        await scenario.run(run)
        await world.heal()
        await _settle(run, result)
        if run.checks:
            await _run_checks(run)
            await _settle(run, result)
        await _check(run, result)
    except TimeoutError as error:
        result.problem = f"a step of the run took too long: {error}"
    finally:
        await run.stack.aclose()
        await world.heal()
        await load.stop()
    result.faults, result.notes = run.faults, run.notes
    result.confirmed = len(load.record.confirmed)
    return result


async def _settle(run: Run, result: Result) -> None:
    """Wait until every sender has a response and every client has all messages."""
    world, load, room = run.world, run.load, run.room
    started = time.monotonic()
    await load.clients.pause()
    if not await load.servers.pause(SETTLE_TIMEOUT_SECONDS):
        result.problem = "a server has no confirmation"
    reconciled_at = 0.0
    async with world.reader() as reader:
        while time.monotonic() - started < SETTLE_TIMEOUT_SECONDS:
            if time.monotonic() - reconciled_at > RECONCILE_SECONDS:
                reconciled_at = time.monotonic()
                await world.reconcile()
            clients = await load.clients.dump()
            log, pages = await read_log(reader, room), await read_pages(reader, room)
            ghosts = await find_ghosts(reader, room, clients, run.extra_users)
            if not find_unsettled(clients, log, pages) and not ghosts:
                break
            await asyncio.sleep(POLL_SECONDS)
    result.settle_seconds += time.monotonic() - started


async def _run_checks(run: Run) -> None:
    async with run.world.reader() as reader:
        for check in run.checks:
            run.violations += await check(lambda: read_pages(reader, run.room))


async def _check(run: Run, result: Result) -> None:
    world, load, room, findings = run.world, run.load, run.room, result.findings
    async with world.reader() as reader:
        clients = await load.clients.dump()
        log, pages = await read_log(reader, room), await read_pages(reader, room)
        ghosts = await find_ghosts(reader, room, clients, run.extra_users)
    result.stored = len(log.entries)
    check_log(log, load.record, run.excused, findings)
    for client in clients:
        check_client(client, log, pages, findings)
        waiting = [one for one in client.pending if one["state"] != "sent"]
        findings.add("unsent", len(waiting), f"{client.user}: {waiting[:3]}")
    findings.add("pages", len(run.violations), run.violations[:3])
    findings.add("ghosts", len(ghosts), ghosts[:3])
    findings.add("unsent", len(load.record.failed), load.record.failed[:3])
