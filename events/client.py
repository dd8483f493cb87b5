"""What the handlers of client events receive and return."""

from typing import Any

from msgspec import Struct

from realtime.errors import ApiError
from realtime.names import validate_room

MAX_CONNECTION_ROOMS = 50
"""Rooms of one connection: their names travel in a header with each event."""


class Client(Struct, frozen=True):
    """The connection that sent an event: its user, the rooms it is in, and the display name."""

    connection: str
    user_id: str
    rooms: tuple[str, ...] = ()
    name: str = ""

    def require_joined(self, room: str) -> str:
        """The room. Raises ApiError `not_in_room` if the connection has not joined it."""
        name = validate_room(room)
        if name not in self.rooms:
            raise ApiError("not_in_room", "Join the room first.")
        return name

    def rooms_with(self, room: str) -> tuple[str, ...]:
        """The connection's rooms and this one. Raises ApiError `too_many_rooms`."""
        if room in self.rooms:
            return self.rooms
        if len(self.rooms) >= MAX_CONNECTION_ROOMS:
            raise ApiError(
                "too_many_rooms", f"A connection may be in at most {MAX_CONNECTION_ROOMS} rooms."
            )
        return (*self.rooms, room)


class Reply(Struct, frozen=True):
    """The message to the sender, if any, and the connection's rooms after the event."""

    message: Any
    rooms: tuple[str, ...]
