"""The names of rooms, people and messages, and the one place where they are checked.

A name that has passed here is safe in a table key, a role, a group and a URL: its alphabet has no
`:` (our separator in keys), no `.` (the separator in groups), no quote and no slash.
"""

import re

from realtime.messages import Refused

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ROOM_GROUP = "room."


def checked_room(name: object) -> str:
    return _checked(_NAME, name, "invalid_room", "A room name")


def checked_user(name: object) -> str:
    return _checked(_NAME, name, "invalid_user", "A user id")


def checked_id(name: object) -> str:
    return _checked(_ID, name, "invalid_id", "A message id")


def checked_group(name: str) -> str:
    """A stream's group or a room's."""
    room = room_of(name)
    return group_of(checked_room(room)) if room else checked_room(name)


def _checked(pattern: re.Pattern[str], name: object, code: str, what: str) -> str:
    if isinstance(name, str) and pattern.fullmatch(name):
        return name
    raise Refused(code, f"{what} has 1 to 64 characters of A-Z, a-z, 0-9, _ and -.")


def group_of(room: str) -> str:
    """The Web PubSub group that hears a room."""
    return _ROOM_GROUP + room


def room_of(group: str) -> str | None:
    """The room that a group hears, or None for a stream's group."""
    return group.removeprefix(_ROOM_GROUP) if group.startswith(_ROOM_GROUP) else None


def conversation(one: str, other: str) -> str:
    """The name of the log that two people share, the same from both sides; never a room's name."""
    return ":".join(sorted((one, other)))


def people_of(log: str) -> tuple[str, str] | None:
    """The two people whose conversation a log is, or None for a room's."""
    one, _, other = log.partition(":")
    return (one, other) if other else None


def display_name(user: str) -> str:
    """What a person is called: their id without the suffix that makes it theirs."""
    return user.rpartition("_" if "_" in user else "-")[0] or user
