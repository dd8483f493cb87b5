"""Removes a user from a room: the connections leave the group, and the room gets a notice."""

from realtime.azure.web_pubsub import hub
from realtime.names import room_group
from realtime.rooms.presence import presence


async def remove_from_room(room: str, user_id: str) -> None:
    await hub().remove_user_from_group(room_group(room), user_id)
    await presence().announce_left(room, user_id)
