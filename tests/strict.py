"""A second instance of the app, with every limit and rule enabled."""

import re
from pathlib import Path

from local.parts import ROOT, Part, Stack, free_ports, start_functions
from tests import logs

KEY = "the-key-of-the-strict-host"
BANNED_USER = "mallory-22222222"
MESSAGES_AT_ONCE = JOINS_AT_ONCE = NEGOTIATES_AT_ONCE = 10
GUESTS_AT_ONCE = CONNECTS_AT_ONCE = 30
CONNECTIONS_PER_USER = 5

NEVER = "0 0 0 1 1 *"
QUIET = {"STOCKS_SCHEDULE": NEVER, "METRICS_SCHEDULE": NEVER, "WEATHER_SCHEDULE": NEVER}

SETTINGS = QUIET | {
    "ROOMS": "listed",
    "BANNED_USERS": f"eve-22222222, {BANNED_USER}",
    "MODERATE": "word_list:check",
    "MESSAGES_PER_MINUTE": "60",
    "JOINS_PER_MINUTE": "60",
    "NEGOTIATES_PER_MINUTE": "60",
    "GUESTS_PER_MINUTE": "180",
    "CONNECTIONS_PER_USER": "5",
    "CONNECTS_PER_MINUTE": "180",
}


def start_strict(stack: Stack, folder: Path) -> Part:
    """Start it with function keys and the moderation example of docs/moderation.md."""
    document = (ROOT / "docs/moderation.md").read_text()
    example = re.search(r"```python\n(.*?)```", document, re.DOTALL)
    assert example, "docs/moderation.md has no example"
    (folder / "word_list.py").write_text(example[1])
    environment = {**stack.environment, **SETTINGS, "PYTHONPATH": str(folder)}
    options = ("--enable-auth", "--key", KEY)
    (port,) = free_ports(1)
    return start_functions(port, environment, options=options, listener=logs.lines.append)
