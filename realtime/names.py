"""Names of rooms, users, roles, messages and groups: validation and conversion.

A validated name is safe in a table key, a role, a group and a URL: its alphabet has no `:` (the
separator in table keys), no `.` (the separator in group names), no quote and no slash.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Literal

from realtime.errors import ApiError

NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
"""The alphabet and length of room names and user ids."""

DELETED_USER = "deleted"
"""The sender of tombstones whose author is deleted; no user has this id."""

Role = Literal["owner", "moderator", "member"]
"""What a user is in a room; who has no role is a member."""

_NAME = re.compile(NAME_PATTERN)
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ROOM_GROUP_PREFIX = "room."
_SESSION_GROUP_PREFIX = "session."
_NAME_GROUP_PREFIX = "name."


def validate_room(name: object) -> str:
    """The name in lower case: names that differ in case only are one room."""
    return _validate(_NAME, name, "invalid_room", "A room name").lower()


def validate_user_id(name: object) -> str:
    return _validate(_NAME, name, "invalid_user", "A user id")


def validate_message_id(name: object) -> str:
    return _validate(_MESSAGE_ID, name, "invalid_id", "A message id")


def validate_group(name: str) -> str:
    """The name of a stream's group or of a room's group."""
    room = room_of_group(name)
    if room:
        return room_group(validate_room(room))
    return _validate(_NAME, name, "invalid_room", "A group")


def _validate(pattern: re.Pattern[str], name: object, code: str, what: str) -> str:
    if isinstance(name, str) and pattern.fullmatch(name):
        return name
    raise ApiError(code, f"{what} has 1 to 64 characters of A-Z, a-z, 0-9, _ and -.")


def room_group(room: str) -> str:
    """The Web PubSub group of a room."""
    return _ROOM_GROUP_PREFIX + room


def room_of_group(group: str) -> str | None:
    """The room of a group, or None for a stream's group."""
    if not group.startswith(_ROOM_GROUP_PREFIX):
        return None
    return group.removeprefix(_ROOM_GROUP_PREFIX)


def user_group(user_id: str) -> str:
    """The Web PubSub group of all connections of a user; no client can join it."""
    return f"user.{user_id}"


def session_group(session_id: str) -> str:
    """The Web PubSub group of the connections of a session."""
    return _SESSION_GROUP_PREFIX + session_id


def session_of_group(group: str) -> str | None:
    """The session of a group, or None for another group."""
    return _remove_prefix(group, _SESSION_GROUP_PREFIX)


def encode_display_name(name: str) -> str:
    """A group with which a client access token carries a display name to the `connect` event.

    Tokens that the service signs for a managed identity have no other place for it.
    """
    return _NAME_GROUP_PREFIX + urlsafe_b64encode(name.encode()).decode().rstrip("=")


def decode_display_name(group: str) -> str | None:
    """The display name that a group carries, or None if it carries none."""
    text = _remove_prefix(group, _NAME_GROUP_PREFIX)
    if text is None:
        return None
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return None


def is_display_name_group(group: str) -> bool:
    """Whether a group is there to carry a display name; no connection is added to it."""
    return group.startswith(_NAME_GROUP_PREFIX)


def _remove_prefix(group: str, prefix: str) -> str | None:
    return group.removeprefix(prefix) if group.startswith(prefix) else None


def direct_log(user: str, other: str) -> str:
    """The log name of a direct conversation: the same for both users, never a room's name."""
    return ":".join(sorted((user, other)))


def users_of_direct_log(log: str) -> tuple[str, str] | None:
    """The two users of a direct conversation's log, or None for a room's log."""
    user, _, other = log.partition(":")
    return (user, other) if other else None


def display_name(user_id: str) -> str:
    """The readable part of a user id: the id without its suffix."""
    return user_id.rpartition("_" if "_" in user_id else "-")[0] or user_id
