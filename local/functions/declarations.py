"""The endpoints and timers that an app's functions declare, and the functions in error.

As in the real host, a wrong schedule, a setting that does not exist or a conflicting route makes
one function unusable, and the others run. A wrong route template stops the whole app.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from azure.functions import AuthLevel
from msgspec import Struct, field

from local.functions.errors import LoadError
from local.functions.host_json import HostSettings
from local.functions.routes import Route, parse_route
from local.functions.timers import Timer, utc_now
from local.functions.worker import Function, Worker
from realtime import ncrontab

_RESERVED = ("admin", "runtime")


class FunctionError(Exception):
    """One function cannot be used; the text is the reason."""


class Endpoint(Struct, frozen=True):
    """An HTTP function with what decides whether a request is for it."""

    function: Function
    template: str
    route: Route
    methods: frozenset[str]  # empty: all of them
    level: AuthLevel

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The route values of a path, or None."""
        if self.methods and method not in self.methods:
            return None
        return self.route.match(path)

    def conflicts_with(self, other: "Endpoint") -> bool:
        """Whether both have the same route and a method in common."""
        if self.template.lower() != other.template.lower():
            return False
        return not self.methods or not other.methods or bool(self.methods & other.methods)


class Declarations(Struct):
    """The endpoints and timers in the host's order, and the functions in error with the reasons."""

    functions: list[Function] = field(default_factory=list)
    endpoints: list[Endpoint] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)  # by the name of the function


def declare(
    functions: Iterable[Function], settings: HostSettings, worker: Worker, data: Path | None
) -> Declarations:
    """Endpoints and timers of the functions. Raises LoadError where the whole app cannot run."""
    found = Declarations()
    for function in functions:
        if settings.functions is not None and function.name.lower() not in settings.functions:
            continue
        found.functions.append(function)
        try:
            if function.is_http:
                _add_endpoint(found, function, settings.route_prefix)
            elif not is_disabled(function):
                found.timers.append(make_timer(function, worker, data))
        except FunctionError as error:
            found.errors[function.name] = str(error)
    return found


def is_disabled(function: Function) -> bool:
    """Whether the app's settings switch this function off."""
    setting = os.environ.get(f"AzureWebJobs.{function.name}.Disabled", "")
    return setting.lower() in ("1", "true")


def _add_endpoint(found: Declarations, function: Function, prefix: str) -> None:
    endpoint = make_endpoint(function, prefix)
    if is_disabled(function):
        return
    for other in found.endpoints:
        if endpoint.conflicts_with(other):
            raise FunctionError(
                f"its route conflicts with that of the function {other.function.name}"
            )
    found.endpoints.append(endpoint)


def make_endpoint(function: Function, prefix: str) -> Endpoint:
    """The endpoint of an HTTP function. Raises FunctionError, and LoadError for a bad template."""
    trigger = function.trigger
    own = resolve_settings(trigger.route or function.name)
    if own.lower().lstrip("/").startswith(_RESERVED):
        raise FunctionError("its route conflicts with the built-in routes, admin and runtime")
    template = "/".join(part for part in (prefix, own) if part)
    try:
        route = parse_route(template)
    except ValueError as error:
        raise LoadError(f"the function {function.name}: {error}") from error
    return Endpoint(
        function=function,
        template=template,
        route=route,
        methods=frozenset(str(method).upper() for method in trigger.methods or ()),
        level=trigger.auth_level,
    )


def make_timer(function: Function, worker: Worker, data: Path | None) -> Timer:
    """A timer function on its schedule. Raises FunctionError."""
    try:
        schedule = ncrontab.parse(resolve_settings(function.trigger.schedule))
    except ncrontab.InvalidScheduleError as error:
        raise FunctionError(str(error)) from error
    return Timer(
        name=function.name,
        schedule=schedule,
        tick=lambda timer: worker.run_timer(function, timer),
        monitored=schedule.is_monitored(utc_now()) and function.trigger.use_monitor is not False,
        run_on_startup=bool(function.trigger.run_on_startup),
        status_file=data and data / f"{function.name}.json",
    )


def resolve_settings(text: str) -> str:
    """The text with each %NAME% replaced by that setting. Raises FunctionError."""

    def look_up(found: re.Match[str]) -> str:
        if (value := os.environ.get(found[1])) is None:
            raise FunctionError(f"%{found[1]}% is not set: add it to Values in local.settings.json")
        return value

    return re.sub("%([^%]+)%", look_up, text)
