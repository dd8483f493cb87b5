"""Checks of the settings themselves, before any request over the network."""

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

from local.doctor.findings import WHERE_TO_SET, Finding
from local.functions.errors import LoadError
from local.functions.json_files import read_json_object
from realtime.settings import InvalidSettingsError, Settings

SETTINGS_FILES = ("local.settings.json", "local.settings.json.example")

# A name at least this similar to that of a setting counts as a misspelling of it.
SIMILARITY = 0.8

# Settings of the platform and of the local host: known, but not of the app.
PLATFORM_NAMES = {"AzureWebJobsStorage", "HTTP_CONCURRENCY", "FUNCTIONS_WORKER_RUNTIME"}
PLATFORM_PREFIXES = (
    "APPLICATIONINSIGHTS_", "AZURE_", "AzureWebJobs", "ConnectionStrings:", "FUNCTIONS_", "OTEL_",
    "PYTHON_", "SCM_", "WEBSITE_",
)  # fmt: skip


def read_environment(app: Path) -> tuple[dict[str, str], Finding | None]:
    """The settings as the Functions host has them: the file's Values, and the environment wins.

    With a finding when the file cannot be read.
    """
    try:
        for name in SETTINGS_FILES:
            if (app / name).exists():
                values = read_json_object(app / name).get("Values", {})
                if not isinstance(values, dict):
                    wrong = f"{app / name}: Values is {values!r}; expected an object"
                    return dict(os.environ), Finding("settings", "failed", wrong)
                strings = {key: str(value) for key, value in values.items()}
                return {**strings, **os.environ}, None
    except LoadError as error:
        return dict(os.environ), Finding("settings", "failed", f"{error}.")
    return dict(os.environ), None


def check_settings(environment: Mapping[str, str]) -> tuple[Finding, Settings | None]:
    """What is wrong with the settings, and the settings where they can be read."""
    for name, value in environment.items():
        if value.startswith("@Microsoft.KeyVault("):
            message = f"{name} is a Key Vault reference that was not resolved; expected the secret."
            return Finding("settings", "failed", message), None
    try:
        settings = Settings.read(environment)
    except InvalidSettingsError as error:
        return Finding("settings", "failed", str(error)), None
    problems = [*_find_misspelled(environment), *_check_moderation(settings.moderate)]
    if problems:
        return Finding("settings", "failed", " ".join(problems)), settings
    message = f"complete; users are identified by {settings.identity}"
    return Finding("settings", "ok", message), settings


def _find_misspelled(environment: Mapping[str, str]) -> Iterator[str]:
    """Names like that of a setting which is left at its default: probably misspellings of it."""
    defaults = {one.name.upper(): str(one.default) for one in fields(Settings)}
    unused = [name for name, value in defaults.items() if environment.get(name, "") in ("", value)]
    for name in environment:
        if name in defaults or name in PLATFORM_NAMES or name.startswith(PLATFORM_PREFIXES):
            continue
        if similar := difflib.get_close_matches(name.upper(), unused, n=1, cutoff=SIMILARITY):
            yield f"There is no setting {name}; did you mean {similar[0]}?"


def _check_moderation(name: str) -> Iterator[str]:
    """Whether MODERATE names an async function that can be imported."""
    if not name:
        return
    module, colon, function = name.partition(":")
    expected = f"expected package.module:function of the app. {WHERE_TO_SET}"
    if not (module and colon and function):
        yield f"MODERATE is {name!r}; {expected}"
        return
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        moderator = getattr(importlib.import_module(module), function)
    except AttributeError:
        yield f"MODERATE is {name!r}, but {module} has no {function}; {expected}"
    except Exception as error:  # noqa: BLE001 - importing runs the module's code
        failure = type(error).__name__
        yield f"MODERATE is {name!r}, but importing it fails with {failure}; {expected}"
    else:
        if not inspect.iscoroutinefunction(moderator):
            yield f"MODERATE is {name!r}, which is no async function; {expected}"
