"""Scenarios of rooms in which nothing happens any more, and of instances with a wrong clock."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta

import aiohttp

from realtime.errors import ApiError
from realtime.rooms.drafts import MessageDraft
from realtime.settings import Settings
from tests.faults.checker import find_ghosts, read_log
from tests.faults.load import Confirmed, JavaScriptClients, Record
from tests.faults.network import NONE, Disturbance
from tests.faults.scenarios import Run, scenario
from tests.instances import Instance

HEAL_TIMEOUT_SECONDS = 90.0
FORGOTTEN_SECONDS = 40.0
"""The service keeps a lost connection for 30 s before it sends `disconnected`."""

SKEWS = (timedelta(minutes=2), timedelta(minutes=-2), timedelta(seconds=-30))
"""Clocks that differ by more than 5 minutes count as wrong, and are not followed."""


@scenario("quiet-room", "the last message is not published, and those who left are not reported", 0)
async def lose_the_tail(run: Run) -> None:
    """The timer of the hosts heals both within 90 s; nothing here calls it."""
    vanishing = JavaScriptClients(run.world.url, run.room, 2, 99, Record())
    await vanishing.start()
    await _wait_for_users(run, 6)
    await run.load.clients.pause()
    await run.load.servers.pause(30)
    run.world.balancer.disturbance = Disturbance(refuse=1.0)
    vanishing.kill()
    await asyncio.sleep(FORGOTTEN_SECONDS)
    run.world.balancer.disturbance = NONE
    run.world.service_proxy.disturbance = Disturbance(fail=1.0, statuses=(500,))
    await _send_once(run)
    run.world.service_proxy.disturbance = NONE
    run.faults += 3
    await _wait_until_healed(run)


async def _send_once(run: Run) -> None:
    """A server that sends no message again."""
    url = f"{run.world.url}/api/rooms/{run.room}/message"
    body = {"content": "tail 1", "from": "tail", "id": "tail"}
    async with aiohttp.ClientSession() as http, http.post(url, json=body) as response:
        if response.status == 200:
            run.violations.append("the last message was published")


async def _wait_for_users(run: Run, count: int) -> None:
    async with asyncio.timeout(30):
        while any(one.user_count != count for one in await run.load.clients.dump()):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def _wait_until_healed(run: Run) -> None:
    started = time.monotonic()
    async with run.world.reader() as reader:
        while time.monotonic() - started < HEAL_TIMEOUT_SECONDS:
            clients = await run.load.clients.dump()
            head = (await read_log(reader, run.room)).head
            ghosts = await find_ghosts(reader, run.room, clients)
            if not ghosts and all(one.last == head.seq for one in clients):
                run.notes.append(f"healed after {time.monotonic() - started:.0f} s")
                return
            await asyncio.sleep(1.0)
    run.violations.append(f"not healed after {HEAL_TIMEOUT_SECONDS:.0f} s: {ghosts}")


class SkewedInstance(Instance):
    """An instance of the app whose clock is wrong."""

    def __init__(self, settings: Settings, skew: timedelta) -> None:
        self._skew = skew
        super().__init__(settings)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._skew


@scenario("clock-skew", "instances whose clocks are wrong write the room too", 20)
async def skew_clocks(run: Run) -> None:
    environment = run.world.environment
    settings = Settings(
        tables_connection_string=environment["TABLES_CONNECTION_STRING"],
        webpubsub_connection_string=environment["WEBPUBSUB_CONNECTION_STRING"],
    )
    instances = [SkewedInstance(settings, skew) for skew in SKEWS]
    try:
        await asyncio.gather(
            *(_write(run, one, f"skewed{number}") for number, one in enumerate(instances))
        )
    finally:
        for one in instances:
            await asyncio.gather(*one.appender._tasks)  # noqa: SLF001
            await one.close()


async def _write(run: Run, one: Instance, sender: str) -> None:
    number = 0
    while await run.pause(0.02, 0.3):
        number += 1
        draft = MessageDraft(sender, str(number), content=f"{sender} {number}")
        sent_at, stored = time.time(), None
        while stored is None:
            with contextlib.suppress(ApiError):
                stored = await one.appender.append(run.room, draft)
        run.load.record.confirmed.append(
            Confirmed(sender, draft.id, draft.content, sent_at, time.time())
        )
        run.faults += 1
