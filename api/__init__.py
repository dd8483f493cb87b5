"""The HTTP API: one file per resource. A file that is imported here declares its functions."""

from api import (
    bans,
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
)
from api.blueprint import bp

__all__ = [
    "bans",
    "bp",
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
]
