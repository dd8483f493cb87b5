"""The load: clients and servers that write into one room and record what is confirmed."""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from local.parts import node

CLIENTS = Path(__file__).with_name("clients.mjs")
SERVER_TIMEOUT_SECONDS = 15.0
SERVER_PAUSE_SECONDS = 0.1
CLIENT_PAUSE_SECONDS = 0.25
DUMP_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Confirmed:
    """A message that was acknowledged; the times are those of its sender."""

    sender: str
    id: str
    content: str
    sent_at: float
    at: float


@dataclass
class ClientState:
    """What one JavaScript client has at the end."""

    user: str
    state: str
    epoch: str | None
    last: int
    entries: list[dict[str, Any]]
    users: list[str]
    user_count: int
    pending: list[dict[str, str]]
    expected: list[tuple[str, dict[str, Any]]]
    is_joined: bool


@dataclass
class Record:
    """What is confirmed to the senders."""

    confirmed: list[Confirmed] = field(default_factory=list)
    attempts: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    """Messages that a client has given up."""


class JavaScriptClients:
    """A Node process with clients of the package townsquare-client."""

    def __init__(self, url: str, room: str, clients: int, seed: int, record: Record) -> None:
        self._options = {"url": url, "room": room, "clients": clients, "seed": seed}
        self._record = record
        self._dumps: asyncio.Queue[list[dict[str, Any]]] = asyncio.Queue()
        self._process: asyncio.subprocess.Process
        self._reading: asyncio.Task[None]

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            node(), str(CLIENTS), json.dumps(self._options),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=64 * 1024 * 1024,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read())

    async def write(self, pause_seconds: float) -> None:
        await self._command(do="write", pauseMs=pause_seconds * 1000)

    async def pause(self) -> None:
        await self._command(do="pause")

    async def dump(self) -> list[ClientState]:
        await self._command(do="dump")
        async with asyncio.timeout(DUMP_TIMEOUT_SECONDS):
            found = await self._dumps.get()
        return [
            ClientState(
                one["user"], one["state"], one["epoch"], one["last"], one["entries"], one["users"],
                one["userCount"], one["pending"], [(k, v) for k, v in one["expected"]],
                one["isJoined"],
            )
            for one in found
        ]  # fmt: skip

    async def stop(self) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            await self._command(do="quit")
            async with asyncio.timeout(5):
                await self._process.wait()
        self.kill()
        await self._reading

    def kill(self) -> None:
        """Ends the clients without a closing handshake."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _command(self, **command: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            event = json.loads(line)
            if event["event"] == "acked":
                self._record.confirmed.append(
                    Confirmed(
                        event["from"], event["id"], event["content"], event["sentAt"], event["at"]
                    )
                )
            elif event["event"] == "failed":
                self._record.failed.append(event)
            else:
                self._dumps.put_nowait(event["clients"])


class Servers:
    """Senders over HTTP. Each repeats a message until it is confirmed, then sends the next."""

    def __init__(self, url: str, room: str, count: int, record: Record) -> None:
        self._url = f"{url}/api/rooms/{room}/message"
        self._count = count
        self._record = record
        self._writing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._pause_seconds = 0.0
        self._http: aiohttp.ClientSession

    async def start(self) -> None:
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=SERVER_TIMEOUT_SECONDS),
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
        )
        self._tasks = [asyncio.create_task(self._send_all(n)) for n in range(self._count)]

    def write(self, pause_seconds: float) -> None:
        self._pause_seconds = pause_seconds
        self._writing.set()

    async def pause(self, timeout_seconds: float) -> bool:
        """Whether every sender has a confirmation of its last message within the timeout."""
        self._writing.clear()
        _, running = (
            await asyncio.wait(self._tasks, timeout=timeout_seconds)
            if self._tasks
            else (
                set(),
                set(),
            )
        )
        return not running

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()

    async def _send_all(self, sender: int) -> None:
        await self._writing.wait()
        number = 0
        while self._writing.is_set():
            number += 1
            body = {"content": f"s{sender} {number}", "from": f"s{sender}", "id": f"{number}"}
            sent_at = time.time()
            while not await self._try(body):  # noqa: ASYNC110 - it asks again
                await asyncio.sleep(self._pause_seconds)
            self._record.confirmed.append(
                Confirmed(body["from"], body["id"], body["content"], sent_at, time.time())
            )
            await asyncio.sleep(self._pause_seconds)

    async def _try(self, body: dict[str, str]) -> bool:
        self._record.attempts += 1
        try:
            async with self._http.post(self._url, json=body) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


class Load:
    """All senders of one room."""

    def __init__(
        self, url: str, room: str, seed: int, *, clients: int = 4, servers: int = 4
    ) -> None:
        self.record = Record()
        self.clients = JavaScriptClients(url, room, clients, seed, self.record)
        self.servers = Servers(url, room, servers, self.record)

    async def start(self) -> None:
        await asyncio.gather(self.clients.start(), self.servers.start())

    async def write(self, pace: float = 1.0) -> None:
        """All senders begin; a pace of 0.5 is half as many messages a second."""
        await self.clients.write(CLIENT_PAUSE_SECONDS / pace)
        self.servers.write(SERVER_PAUSE_SECONDS / pace)

    async def wait_until_confirmed(self, count: int, timeout_seconds: float) -> None:
        """Returns when so many messages are confirmed."""
        async with asyncio.timeout(timeout_seconds):
            while len(self.record.confirmed) < count:  # noqa: ASYNC110 - the record has no event
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        await asyncio.gather(self.clients.stop(), self.servers.stop())
