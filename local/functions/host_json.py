"""host.json: what of it this host honours, and the names of what it ignores.

https://learn.microsoft.com/azure/azure-functions/functions-host-json
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from local.functions.errors import LoadError
from local.functions.json_files import read_json_object

DEFAULT_TIMEOUT_SECONDS = 30 * 60.0

LOG_LEVELS = {
    "trace": 5, "debug": 10, "information": 20, "warning": 30, "error": 40, "critical": 50,
    "none": 100,
}  # fmt: skip
"""Levels of .NET in those of Python's logging."""

HONOURED = {
    "version", "functionTimeout", "functions", "logging.logLevel",
    "extensions.http.routePrefix", "extensions.http.customHeaders",
    "extensions.http.maxConcurrentRequests", "extensions.http.maxOutstandingRequests",
}  # fmt: skip


class HostSettings(NamedTuple):
    """The settings of host.json that this host honours."""

    route_prefix: str = "api"
    custom_headers: Mapping[str, str] = MappingProxyType({})
    max_concurrent_requests: int | None = None
    max_outstanding_requests: int | None = None
    function_timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS  # infinite: no limit
    functions: frozenset[str] | None = None  # None: all
    log_levels: Mapping[str, int] = MappingProxyType({})  # by lower-case category
    ignored: tuple[str, ...] = ()


def read_host_settings(app: Path) -> HostSettings:
    """The settings in an app's host.json. Raises LoadError, which names the wrong one."""
    content = read_json_object(app / "host.json")
    http = _expect(_expect(content, "extensions", dict, {}), "http", dict, {}, "extensions.")
    inside = "extensions.http."
    functions = _expect(content, "functions", list, None)
    return HostSettings(
        route_prefix=_expect(http, "routePrefix", str, "api", inside).strip("/"),
        custom_headers=_expect(http, "customHeaders", dict, {}, inside),
        max_concurrent_requests=_limit(http, "maxConcurrentRequests", inside),
        max_outstanding_requests=_limit(http, "maxOutstandingRequests", inside),
        function_timeout_seconds=_timeout(content),
        functions=None if functions is None else frozenset(str(one).lower() for one in functions),
        log_levels=dict(_log_levels(content)),
        ignored=tuple(_ignored(content)),
    )


def _expect(content: Any, name: str, kind: type, default: Any, place: str = "") -> Any:
    value = content.get(name, default)
    if value is not default and not isinstance(value, kind):
        raise LoadError(f"host.json: {place}{name} is {value!r}; expected {kind.__name__}")
    return value


def _limit(http: Mapping[str, Any], name: str, place: str) -> int | None:
    """A number of requests; -1 means no limit."""
    value = http.get(name, -1)
    if not isinstance(value, int) or isinstance(value, bool) or value < -1 or value == 0:
        raise LoadError(f"host.json: {place}{name} is {value!r}; expected a number, or -1")
    return None if value == -1 else value


def _timeout(content: Mapping[str, Any]) -> float:
    """functionTimeout in seconds: a TimeSpan of .NET, [d.]hh:mm:ss[.fraction], or -1."""
    value = content.get("functionTimeout")
    if value is None:
        return DEFAULT_TIMEOUT_SECONDS
    if str(value) == "-1":
        return math.inf
    found = re.fullmatch(r"(?:(\d+)\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2}(?:\.\d+)?))?", str(value))
    if found is None:
        raise LoadError(f"host.json: functionTimeout is {value!r}; expected hh:mm:ss, or -1")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _log_levels(content: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    levels = _expect(_expect(content, "logging", dict, {}), "logLevel", dict, {}, "logging.")
    for category, level in levels.items():
        if str(level).lower() not in LOG_LEVELS:
            raise LoadError(
                f"host.json: logging.logLevel.{category} is {level!r}; "
                f"expected one of {', '.join(LOG_LEVELS)}"
            )
        yield category.lower(), LOG_LEVELS[str(level).lower()]


def _ignored(content: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """The keys that have no effect here; of a wholly ignored object only its own name."""
    for name, value in content.items():
        path = f"{place}{name}"
        if path in HONOURED:
            continue
        if isinstance(value, dict) and any(one.startswith(f"{path}.") for one in HONOURED):
            yield from _ignored(value, f"{path}.")
        else:
            yield path
