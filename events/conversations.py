"""The conversation that a client event is about: a room, or the user in `to`."""

from typing import NamedTuple

from events.client import Client
from realtime.errors import ApiError
from realtime.names import direct_log, validate_user_id
from realtime.users.memberships import Kind


class Conversation(NamedTuple):
    """`name` is the room or the other user."""

    kind: Kind
    name: str
    log: str


def find_conversation(client: Client, room: str | None, to: str | None) -> Conversation:
    """The conversation, if the client may be in it. Raises ApiError."""
    if room is not None and to is None:
        name = client.require_joined(room)
        return Conversation("room", name, name)
    if to is not None and room is None:
        user_id = validate_user_id(to)
        return Conversation("direct", user_id, direct_log(client.user_id, user_id))
    raise ApiError("invalid_request", "Expected either `room` or `to`.")
