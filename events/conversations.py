"""The conversation that a client event is about: a room, or the user in `to`."""

from events.client import Client
from realtime.errors import ApiError
from realtime.names import direct_log, validate_user_id
from realtime.users.memberships import Kind


def find_conversation(client: Client, room: str | None, to: str | None) -> tuple[Kind, str, str]:
    """Kind and name of the conversation, and its log. Raises ApiError."""
    if room is not None and to is None:
        name = client.require_joined(room)
        return "room", name, name
    if to is not None and room is None:
        user_id = validate_user_id(to)
        return "direct", user_id, direct_log(client.user_id, user_id)
    raise ApiError("invalid_request", "Expected either `room` or `to`.")
