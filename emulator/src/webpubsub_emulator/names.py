"""Rules for the names of hubs, groups and events."""

import re

_HUB = re.compile(r"[A-Za-z][A-Za-z0-9_`,.\[\]]{0,127}")
_EVENT = re.compile(r"[a-z][a-z0-9_.-]{0,127}", re.IGNORECASE)
_MAX_GROUP_CHARACTERS = 1024


def is_valid_hub(name: str) -> bool:
    return _HUB.fullmatch(name) is not None


def is_valid_group(name: str) -> bool:
    return 0 < len(name) <= _MAX_GROUP_CHARACTERS and not name.isspace()


def is_valid_event(name: str) -> bool:
    return _EVENT.fullmatch(name) is not None
