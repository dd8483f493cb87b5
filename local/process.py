"""One local process: starting it, waiting until it is ready, and stopping it."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 8.0
PROBE_TIMEOUT_SECONDS = 2.0
POLL_SECONDS = 0.02
MAX_OUTPUT_LINES = 2000


class PartError(Exception):
    """A part did not start, or stopped by itself; the text names it and has its last output."""


@dataclass
class Part:
    """One process with an HTTP server. It ends when this process ends."""

    name: str
    url: str
    ready_path: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    listener: Callable[[str], None] | None = None  # called with every line of output
    folder: Path = ROOT  # its working directory
    start_timeout_seconds: float = START_TIMEOUT_SECONDS
    output: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_OUTPUT_LINES))
    process: subprocess.Popen[str] = field(init=False)
    _reader: threading.Thread = field(init=False)

    def start(self) -> None:
        """Start the process, also again after it ended, with the same address and data."""
        # A new session: Ctrl-C reaches only this process, which stops the parts in order.
        self.process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        _notify_guard(f"+{self.process.pid}")
        self._reader = threading.Thread(target=self._read_output, args=(self.process,), daemon=True)
        self._reader.start()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the part responds. Raises PartError when it stops or does not respond."""
        deadline = time.monotonic() + (seconds or self.start_timeout_seconds)
        while not self.is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise PartError(f"{self.name} does not respond at {self.url}. {self.last_output()}")
            time.sleep(POLL_SECONDS)

    def is_ready(self) -> bool:
        """Whether an HTTP server responds at the part's address, with any status."""
        connection = http.client.HTTPConnection(self.address, timeout=PROBE_TIMEOUT_SECONDS)
        try:
            connection.request("GET", self.ready_path)
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def check(self) -> None:
        """Raise PartError when the process has ended."""
        if (code := self.process.poll()) is not None:
            # Children of the process may keep its output open.
            self._reader.join(PROBE_TIMEOUT_SECONDS)
            raise PartError(f"{self.name} stopped with code {code}. {self.last_output()}")

    def stop(self) -> None:
        """End the process as Ctrl-C does, and kill it when it does not end in time."""
        self.process.send_signal(signal.SIGINT)  # Azurite saves its tables on SIGINT
        try:
            self.process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        _notify_guard(f"-{self.process.pid}")

    def kill(self) -> None:
        """Kill the process and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        _notify_guard(f"-{self.process.pid}")

    def wait_for_output(
        self, matches: Callable[[str], bool], count: int = 1, seconds: float = START_TIMEOUT_SECONDS
    ) -> list[str]:
        """Wait for `count` matching lines of output and return them. Raises PartError."""
        deadline = time.monotonic() + seconds
        while len(lines := [line for line in list(self.output) if matches(line)]) < count:
            if time.monotonic() > deadline:
                raise PartError(
                    f"{self.name} did not print the expected output. {self.last_output()}"
                )
            time.sleep(POLL_SECONDS)
        return lines

    @property
    def address(self) -> str:
        """Host and port."""
        return self.url.removeprefix("http://")

    def last_output(self, lines: int = 15) -> str:
        """The end of the output, for an error message."""
        printed = "\n".join(f"    {line}" for line in list(self.output)[-lines:])
        return f"Last output:\n{printed}" if printed else "It printed nothing."

    def _read_output(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is None:
            return
        with process.stdout:
            for line in process.stdout:
                self.output.append(line.rstrip())
                if self.listener is not None:
                    self.listener(line.rstrip())


def _notify_guard(line: str) -> None:
    """Add or remove a process that the guard (local/guard.py) ends when this process is killed."""
    guard = _start_guard()
    with contextlib.suppress(BrokenPipeError):
        print(line, file=guard.stdin, flush=True)


@cache
def _start_guard() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-S", "-E", str(Path(__file__).with_name("guard.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
