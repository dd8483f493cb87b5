"""The emulator for tests: in a thread of this process, or as a process of its own.

Both kinds have the same methods, which can be called from any thread, with or without an event
loop. pytest_webpubsub.py makes fixtures of them.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack
from urllib.parse import quote
from urllib.request import Request, urlopen

from webpubsub_emulator import Fault, Handler, Server, Settings, serve
from webpubsub_emulator.access_keys import AccessKeys
from webpubsub_emulator.cloud_events import SYSTEM_EVENTS
from webpubsub_emulator.server import Options
from webpubsub_emulator.testing_events import Event, EventFunction, EventServer
from webpubsub_emulator.tokens import create_client_token

T = TypeVar("T")
_START_TIMEOUT_SECONDS = 30.0
_STOP_TIMEOUT_SECONDS = 10.0
_CALL_TIMEOUT_SECONDS = 30.0


class BackgroundLoop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="webpubsub-emulator", daemon=True
        )
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float = _CALL_TIMEOUT_SECONDS) -> T:
        """Run a coroutine in the thread, and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_TIMEOUT_SECONDS)
        self._loop.close()


class TestEmulator(ABC):
    """A started emulator with the means to control it. Use it in a `with` statement."""

    __test__ = False
    connection_string: str

    def __init__(self) -> None:
        self._loop = BackgroundLoop()
        self._handlers: dict[str, list[Handler]] = {}
        self._events = EventServer()
        self._loop.run(self._events.start())

    @property
    def endpoint(self) -> str:
        return self._connection_values()["Endpoint"]

    @property
    def received_events(self) -> Sequence[Event]:
        """The events that functions registered with `on` received, oldest first."""
        return tuple(self._events.received)

    def on(self, hub: str, event: str) -> Callable[[EventFunction], EventFunction]:
        """Register the decorated function as handler of an event of a hub.

        `event` is connect, connected, disconnected, or the name of a user event. The function gets
        an Event. What it returns is the response: None, a text, bytes, a value for JSON, or an
        EventResponse. An exception is a response with status 500.
        """

        def register(function: EventFunction) -> EventFunction:
            self._events.functions[hub.lower(), event.lower()] = function
            is_system = event.lower() in SYSTEM_EVENTS
            handler = Handler(
                self._events.url,
                frozenset({event.lower()} if is_system else ()),
                "" if is_system else event,
            )
            self._handlers.setdefault(hub.lower(), []).append(handler)
            self._configure()
            return function

        return register

    def send_events_to(
        self,
        hub: str,
        url: str,
        *,
        system_events: Iterable[str] = SYSTEM_EVENTS,
        event_pattern: str = "*",
    ) -> None:
        """Register an event handler at a URL: the application that is tested."""
        handler = Handler(url, frozenset(system_events), event_pattern)
        self._handlers.setdefault(hub.lower(), []).append(handler)
        self._configure()

    def wait_for_event(self, name: str, timeout: float = 10.0) -> Event:
        """Return the first event of this name, waiting for it; raises TimeoutError."""
        return self._events.wait_for(name, timeout)

    def client_url(
        self,
        hub: str,
        user_id: str | None = None,
        *,
        roles: Iterable[str] = (),
        groups: Iterable[str] = (),
    ) -> str:
        """Return a WebSocket URL with a token, as the SDK's get_client_access_token does."""
        keys = AccessKeys(self._connection_values()["AccessKey"])
        token = create_client_token(
            keys, self.endpoint, hub, self._now(), user_id=user_id, roles=roles, groups=groups
        )
        address = self.endpoint.replace("http", "ws", 1)
        return f"{address}/client/hubs/{quote(hub, safe='')}?access_token={token}"

    def stop(self) -> None:
        self._stop()
        self._loop.run(self._events.stop())
        self._loop.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @abstractmethod
    def add_fault(self, fault: Fault) -> None:
        """Make the next upstream calls, REST requests or frames fail."""

    @abstractmethod
    def advance_clock(self, seconds: float) -> None:
        """Move the emulator's time forward: tokens, ttl and recovery timeouts expire."""

    @abstractmethod
    def drop_connections(self, hub: str | None = None, user_id: str | None = None) -> int:
        """Abort the sockets of a hub, of a user, or all; return how many they were."""

    @abstractmethod
    def _apply(self, hubs: dict[str, list[Handler]]) -> None: ...

    @abstractmethod
    def _now(self) -> float: ...

    @abstractmethod
    def _stop(self) -> None: ...

    def _configure(self) -> None:
        self._apply(self._handlers)

    def _connection_values(self) -> dict[str, str]:
        parts = (part.partition("=") for part in self.connection_string.split(";") if part)
        return {name: value for name, _, value in parts}


class EmulatorInThread(TestEmulator):
    """The emulator in a thread of this process, on a free port. `server` is its Server."""

    server: Server

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__()
        self._context = serve(**options)
        self.server = self._loop.run(self._context.__aenter__())
        self.connection_string = self.server.connection_string

    def add_fault(self, fault: Fault) -> None:
        self._call(self.server.faults.add, fault)

    def advance_clock(self, seconds: float) -> None:
        self._call(self.server.advance_clock, seconds)

    def drop_connections(self, hub: str | None = None, user_id: str | None = None) -> int:
        return self._call(self.server.drop_connections, hub, user_id)

    def _apply(self, hubs: dict[str, list[Handler]]) -> None:
        self._call(self.server.configure, Settings(dict(hubs)))

    def _now(self) -> float:
        return self.server.clock.time()

    def _stop(self) -> None:
        self._loop.run(self._context.__aexit__(None, None, None))

    def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        async def call() -> T:
            return function(*arguments)

        return self._loop.run(call())


class EmulatorProcess(TestEmulator):
    """The emulator as a process of its own, on a free port."""

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        super().__init__()
        self._offset_seconds = 0.0
        source = str(Path(__file__).parents[1])
        path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "webpubsub_emulator", "--port", "0", "--control"]
        self.process = subprocess.Popen(  # noqa: S603 - the emulator itself
            [*command, *arguments],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors: list[str] = []
        threading.Thread(target=self._read_errors, daemon=True).start()
        self.connection_string = self._read_connection_string()

    def add_fault(self, fault: Fault) -> None:
        self._post(
            "faults",
            {
                "target": fault.target,
                "action": fault.action,
                "count": fault.count,
                "seconds": fault.seconds,
                "status": fault.status,
            },
        )

    def advance_clock(self, seconds: float) -> None:
        self._post("clock", {"seconds": seconds})
        self._offset_seconds += seconds

    def drop_connections(self, hub: str | None = None, user_id: str | None = None) -> int:
        selection = {"hub": hub, "user_id": user_id}
        return int(self._post("drop-connections", selection)["dropped"])

    def _apply(self, hubs: dict[str, list[Handler]]) -> None:
        documents = {
            hub: {
                "EventHandlers": [
                    {
                        "UrlTemplate": handler.url_template,
                        "SystemEvents": sorted(handler.system_events),
                        "EventPattern": handler.event_pattern,
                    }
                    for handler in handlers
                ]
            }
            for hub, handlers in hubs.items()
        }
        self._post("settings", {"WebPubSub": {"Hubs": documents}})

    def _now(self) -> float:
        return time.time() + self._offset_seconds

    def _stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _read_connection_string(self) -> str:
        """Read the first line, which is printed when the emulator accepts requests."""
        stdout = self.process.stdout
        timer = threading.Timer(_START_TIMEOUT_SECONDS, self.process.kill)
        timer.start()
        try:
            line = stdout.readline() if stdout else ""
        finally:
            timer.cancel()
        if "Endpoint=" not in line:
            self.stop()
            if stdout is not None:
                stdout.close()
            raise RuntimeError(f"the emulator did not start: {''.join(self.errors)}")
        threading.Thread(target=self._drain, daemon=True).start()
        return line.partition(": ")[2].strip()

    def _read_errors(self) -> None:
        if self.process.stderr is None:
            return
        with self.process.stderr:
            self.errors.extend(self.process.stderr)

    def _drain(self) -> None:
        if self.process.stdout is None:
            return
        with self.process.stdout:
            for _ in self.process.stdout:
                pass

    def _post(self, command: str, document: dict[str, Any]) -> dict[str, Any]:
        request = Request(  # noqa: S310 - the address of the own process
            f"{self.endpoint}/emulator/{command}",
            json.dumps(document).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(request, timeout=_CALL_TIMEOUT_SECONDS) as response:  # noqa: S310
            content = response.read()
        result: dict[str, Any] = json.loads(content) if content else {}
        return result
