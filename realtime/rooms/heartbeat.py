"""The heartbeat of rooms: publishes the position of each log and the number of users.

A client that has missed the last entry of a quiet room, or a notice, would learn of it only with
the next one. It compares the heartbeat with what it has.
"""

from collections.abc import Mapping

from realtime.azure.web_pubsub import Hub
from realtime.concurrency import gather_limited
from realtime.messages import HeadEvent
from realtime.names import room_group
from realtime.rooms.log import LogStore
from realtime.rooms.presence import Roster


async def publish_heads(logs: LogStore, hub: Hub, rosters: Mapping[str, Roster]) -> int:
    """Publish one `head` event to each room that has users; returns how many were published."""

    async def publish(room: str, members: int) -> None:
        head = await logs.read_head(room)
        event = HeadEvent(room, head.epoch, head.seq, members)
        await hub.send_to_group(room_group(room), event)

    occupied = {room: len(roster.users) for room, roster in rosters.items() if roster.users}
    await gather_limited(publish(room, members) for room, members in occupied.items())
    return len(occupied)
