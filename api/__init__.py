"""The HTTP API: one file per resource. A file that is imported here declares its functions."""

from api import (
    bans,
    connections,
    history,
    me,
    members,
    messages,
    operators,
    presence,
    publish,
    pushed_streams,
    room_messages,
    rooms,
    streams,
    subscriptions,
    user_data,
)
from api.blueprint import bp

__all__ = [
    "bans",
    "bp",
    "connections",
    "history",
    "me",
    "members",
    "messages",
    "operators",
    "presence",
    "publish",
    "pushed_streams",
    "room_messages",
    "rooms",
    "streams",
    "subscriptions",
    "user_data",
]
