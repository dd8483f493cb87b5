"""Other programs that replace our Functions host and our Web PubSub emulator.

    FUNCTIONS_HOST="func start --port {port}"
    WEBPUBSUB_EMULATOR="awps-emulator --urls http://localhost:{port}"

With these settings the tests run on Azure Functions Core Tools and on Microsoft's emulator, where
they are installed. Core Tools is started in the app's folder; the emulator in a folder with its
settings as appsettings.json.
"""

import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from local.process import Part, PartError

FUNCTIONS_HOST = "FUNCTIONS_HOST"
WEBPUBSUB_EMULATOR = "WEBPUBSUB_EMULATOR"

# The real host compiles itself at every start.
START_TIMEOUT_SECONDS = 180.0


class UnsupportedOptionError(PartError):
    """Another Functions host does not have the options of ours."""


def functions_host(
    port: int,
    environment: Mapping[str, str],
    app: Path,
    options: Iterable[str] = (),
    listener: Callable[[str], None] | None = None,
) -> Part:
    """The host of $FUNCTIONS_HOST with the app in a folder. Raises UnsupportedOptionError."""
    if options := list(options):
        raise UnsupportedOptionError(f"${FUNCTIONS_HOST} has no options {' '.join(options)}")
    values = {"FUNCTIONS_WORKER_RUNTIME": "python", **_example_values(app), **environment}
    return Part(
        "Functions",
        f"http://localhost:{port}",
        "/admin/host/ping",
        _split(FUNCTIONS_HOST, port),
        values,
        listener,
        folder=app,
        start_timeout_seconds=START_TIMEOUT_SECONDS,
    )


def _example_values(app: Path) -> dict[str, str]:
    """Core Tools reads local.settings.json alone; our host uses the example without it."""
    example = app / "local.settings.json.example"
    if (app / "local.settings.json").exists() or not example.exists():
        return {}
    values: dict[str, str] = json.loads(example.read_text(encoding="utf-8"))["Values"]
    return values


def webpubsub_emulator(port: int, settings: Path) -> Part:
    """The emulator of $WEBPUBSUB_EMULATOR, with the settings of a file in our form."""
    folder = settings.parent / f"emulator-{port}"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(settings, folder / "appsettings.json")
    return Part(
        "Web PubSub",
        f"http://localhost:{port}",
        "/api/health",
        _split(WEBPUBSUB_EMULATOR, port),
        folder=folder,
        start_timeout_seconds=START_TIMEOUT_SECONDS,
    )


def _split(setting: str, port: int) -> list[str]:
    """The words of a command, with the port in its place. Raises PartError."""
    words = [word.replace("{port}", str(port)) for word in shlex.split(os.environ[setting])]
    if not words or (program := shutil.which(words[0])) is None:
        raise PartError(f"${setting} is {os.environ[setting]!r}; expected a command that exists")
    return [program, *words[1:]]
