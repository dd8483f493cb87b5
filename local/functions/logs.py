"""What the host prints: its own lines, and those of the app as Azure would show them.

A line that belongs to no running invocation is lost in Azure. Here it is printed with a mark.
`logging.logLevel` of host.json applies to the categories `Function.<name>` and
`Function.<name>.User`, as in Azure.
"""

import logging
import sys
import time
from collections.abc import Mapping

from local.functions import invocations

LOST = "[not in a running invocation: lost in Azure] "

# These loggers speak for the host; in Azure their counterparts are no part of the app.
_HOST_LOGGERS = ("local.functions", "aiohttp.server", "aiohttp.access")


class InvocationFilter(logging.Filter):
    """Marks lines that Azure loses, and drops those below the level of their category."""

    def __init__(self, levels: Mapping[str, int]) -> None:
        super().__init__()
        self._levels = levels
        self._level_of: dict[str, int] = {}  # by category

    def filter(self, record: logging.LogRecord) -> bool:
        record.mark = ""
        function_name = getattr(record, "function_name", "")
        if function_name:
            return record.levelno >= self._level(f"Function.{function_name}")
        if record.name.startswith(_HOST_LOGGERS):
            return record.levelno >= self._level("Host")
        invocation = invocations.find_current()
        if invocation is None or not invocation.is_running:
            record.mark = LOST
            return True
        return record.levelno >= self._level(f"Function.{invocation.function_name}.User")

    def _level(self, category: str) -> int:
        if category not in self._level_of:
            self._level_of[category] = level_of(category, self._levels)
        return self._level_of[category]


def level_of(category: str, levels: Mapping[str, int]) -> int:
    """The level of the longest name in `logLevel` that the category begins with."""
    matching = [name for name in levels if category.lower().startswith(name)]
    longest = max(matching, key=len, default="default")
    return levels.get(longest, logging.INFO)


def start_logging(levels: Mapping[str, int]) -> None:
    """Prints log lines to stdout in the form of Core Tools."""
    formatter = logging.Formatter(
        "[%(asctime)s.%(msecs)03dZ] %(mark)s%(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    handler.addFilter(InvocationFilter(levels))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # The Azure SDK logs every request that it makes.
    logging.getLogger("azure.core").setLevel(logging.WARNING)
