"""The heartbeat of rooms: publishes the position of each log and the number of users.

A client that has missed the last entry of a quiet room, or a notice, would learn of it only with
the next one. It compares the heartbeat with what it has.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping

from azure.core.exceptions import AzureError

from realtime.azure.web_pubsub import Hub
from realtime.concurrency import gather_limited
from realtime.messages import HeadEvent
from realtime.names import room_group
from realtime.rooms.log import LogStore
from realtime.rooms.roster import Roster

RUN_TIMEOUT_SECONDS = 40.0
"""With the other tasks of its timer it is below the platform's `functionTimeout` of 300 s."""

log = logging.getLogger(__name__)


async def publish_heads(
    logs: LogStore,
    hub: Hub,
    rosters: Mapping[str, Roster],
    *,
    timeout_seconds: float = RUN_TIMEOUT_SECONDS,
    chance: Callable[[], float] = random.random,
) -> int:
    """Publish one `head` event to each room that has users; returns how many were published.

    The rooms come in a random order, so that a run that ends at the timeout does not leave out the
    same ones each minute.
    """
    published = 0

    async def publish(room: str, members: int) -> None:
        nonlocal published
        try:
            head = await logs.read_head(room)
            event = HeadEvent(room, head.epoch, head.seq, members)
            await hub.send_to_group(room_group(room), event)
        except AzureError as error:
            log.warning("a heartbeat failed: %s", type(error).__name__)
        else:
            published += 1

    occupied = [(room, len(roster.present)) for room, roster in rosters.items() if roster.users]
    occupied.sort(key=lambda _: chance())
    try:
        async with asyncio.timeout(timeout_seconds):
            await gather_limited(publish(room, members) for room, members in occupied)
    except TimeoutError:
        log.warning("%d heartbeats were left out: storage is slow", len(occupied) - published)
    return published
