"""What hubs, groups and events may be called."""

import re

_HUB = re.compile(r"[A-Za-z][A-Za-z0-9_`,.\[\]]{0,127}")
_EVENT = re.compile(r"[a-z][a-z0-9_.-]{0,127}", re.IGNORECASE)
_LONGEST_GROUP = 1024


def is_hub(name: str) -> bool:
    return _HUB.fullmatch(name) is not None


def is_group(name: str) -> bool:
    return 0 < len(name) <= _LONGEST_GROUP and not name.isspace()


def is_event(name: str) -> bool:
    return _EVENT.fullmatch(name) is not None
