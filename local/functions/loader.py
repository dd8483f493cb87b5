"""Loads function_app.py and checks it as the Python worker of Azure Functions does.

An app that Azure would refuse is refused here, in one sentence.
"""

import gc
import importlib
import inspect
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import azure.functions as azure_functions

from local.functions.errors import LoadError
from local.functions.worker import (
    CONVERTERS,
    HTTP_OUTPUT,
    HTTP_TRIGGER,
    TIMER_TRIGGER,
    Context,
    Function,
)
from realtime import ncrontab

_FUNCTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}")
_SCRIPT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\.py")


def load(app: Path) -> list[Function]:
    """The functions of an app in the host's order; LoadError when Azure would refuse it."""
    script = os.environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py")
    if not _SCRIPT_NAME.fullmatch(script):
        raise LoadError(f"PYTHON_SCRIPT_FILE_NAME is not the name of a Python file: {script!r}")
    if not (app / script).is_file():
        raise LoadError(f"there is no {script} in {app}")
    sys.path.insert(0, str(app))
    _make_room_for_packages_of(app)
    module = _import(script.removesuffix(".py"))
    try:
        declared = _only_app_of(module, script).get_functions()
    except ValueError as error:
        raise LoadError(f"{script}: {error}") from error
    functions = [_checked(one) for one in declared]
    return sorted(functions, key=lambda function: function.name.lower())


def _import(name: str) -> types.ModuleType:
    """Import a module without garbage collections: nearly all that an import makes stays."""
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.enable()
        gc.freeze()


def _make_room_for_packages_of(app: Path) -> None:
    """Lets the app import its own `realtime`: the host has imported that of this project."""
    own = app / "realtime"
    if own.is_dir() and own != Path(ncrontab.__file__).parent:
        for name in list(sys.modules):
            if name.partition(".")[0] == "realtime":
                del sys.modules[name]


def _only_app_of(module: types.ModuleType, script: str) -> azure_functions.FunctionRegister:
    apps = [
        value for value in vars(module).values()
        if isinstance(value, azure_functions.FunctionRegister)
    ]  # fmt: skip
    if len(apps) != 1:
        raise LoadError(
            f"{script} must name exactly one FunctionApp at its top level, and names {len(apps)}"
        )
    return apps[0]


def _checked(declared: Any) -> Function:
    name, call = declared.get_function_name(), declared.get_user_function()
    trigger = declared.get_trigger()
    problem = next(_problems(name, call, declared.get_bindings(), trigger), None)
    if problem is not None:
        raise LoadError(f"the function {name} cannot be loaded: {problem}")
    return Function(
        name=name,
        call=call,
        trigger=trigger,
        kind=trigger.type,
        is_async=inspect.iscoroutinefunction(call),
        wants_context="context" in inspect.signature(call).parameters,
        directory=str(Path(inspect.getfile(call)).parent),
        decode=CONVERTERS.get(trigger.type).decode,
    )


def _problems(
    name: str, call: Callable[..., Any], bindings: list[Any], trigger: Any
) -> Iterator[str]:
    """What Azure would refuse this function for; the first sentence is enough."""
    if not _FUNCTION_NAME.fullmatch(name) or name.lower() == "host":
        yield "a name is a letter, then up to 127 letters, digits, _ or -, and not 'host'"
    for binding in bindings:
        if binding.type not in (HTTP_TRIGGER, HTTP_OUTPUT, TIMER_TRIGGER):
            yield f"the binding {binding.type} needs Azure's own host (func start)"
    parameters = set(inspect.signature(call).parameters) - {"context"}
    bound = {binding.name for binding in bindings} - {"$return"}
    if parameters - bound:
        yield f"its parameters {_names(parameters - bound)} belong to no binding"
    if bound - parameters:
        yield f"its bindings {_names(bound - parameters)} have no parameter"
    try:
        hints = typing.get_type_hints(call)
    except NameError as error:
        yield f"{error}, and annotations must exist when the app runs"
        return
    yield from _problems_of_types(hints, trigger)


def _problems_of_types(hints: Mapping[str, Any], trigger: Any) -> Iterator[str]:
    context = hints.get("context", Context)
    if not isinstance(context, type) or context.__name__ != "Context":
        yield f"its context is annotated {context!r}, expected azure.functions.Context"
    given = hints.get(trigger.name)
    takes = CONVERTERS.get(trigger.type).check_input_type_annotation
    if given is not None and not (isinstance(given, type) and takes(given)):
        yield f"its parameter {trigger.name} is annotated {given!r}, unlike the {trigger.type}"
    returned = hints.get("return", azure_functions.HttpResponse)
    gives = CONVERTERS.get(HTTP_OUTPUT).check_output_type_annotation
    if trigger.type == HTTP_TRIGGER and not (isinstance(returned, type) and gives(returned)):
        yield f"it is annotated to return {returned!r}, expected plain HttpResponse"


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names))
