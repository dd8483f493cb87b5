"""Puts a storage at a distance: delays every byte in each direction, and counts what passes.

    python -m benchmarks.instances_proxy PORT CONTROL_PORT STORAGE_PORT

`PUT /N` on the control port sets the delay of each direction to N ms; `GET /` returns the counts.
Connections delay independently of each other, and nothing waits for an answer.
"""

import asyncio
import contextlib
import sys
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

PATTERNS = {
    "transactions": [b"POST /devstoreaccount1/$batch"],
    "conflicts": [b"HTTP/1.1 412"],
    "reads": [b"GET /devstoreaccount1/"],
    "single_writes": [b"PUT /devstoreaccount1/", b"PATCH /devstoreaccount1/"],
}
"""What is counted, by its bytes. Inside a transaction a line has an absolute URL."""

LONGEST_PATTERN = max(len(pattern) for patterns in PATTERNS.values() for pattern in patterns)


@dataclass
class Settings:
    """The delay of each direction in seconds, and how often each pattern has passed."""

    delay: float = 0.0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PATTERNS, 0))


class Relay(asyncio.Protocol):
    """One end of a connection; what it receives leaves at the other end after the delay."""

    transport: asyncio.Transport
    other: "Relay | None" = None

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tail = b""
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connect_to(self, other: "Relay") -> None:
        self.other, other.other = other, self
        if self._early:
            self._send_later(self._early)

    def data_received(self, data: bytes) -> None:
        self._count(data)
        if self.other is None:
            self._early += data
        else:
            self._send_later(data)

    def _send_later(self, data: bytes) -> None:
        assert self.other
        if self._settings.delay:
            loop = asyncio.get_running_loop()
            loop.call_later(self._settings.delay, self.other.transport.write, data)
        else:
            self.other.transport.write(data)

    def _count(self, data: bytes) -> None:
        """The tail of what came before is looked at again, for a pattern that was cut."""
        text = self._tail + data
        for name, patterns in PATTERNS.items():
            for pattern in patterns:
                self._settings.counts[name] += text.count(pattern) - self._tail.count(pattern)
        self._tail = text[-LONGEST_PATTERN:]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self.other is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(self._settings.delay, self.other.transport.close)


class Entrance(Relay):
    """The end that the app connects to."""

    def __init__(self, settings: Settings, storage_port: int) -> None:
        super().__init__(settings)
        self._storage_port = storage_port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._task = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, other = await loop.create_connection(
                lambda: Relay(self._settings), "127.0.0.1", self._storage_port
            )
        except OSError:
            self.transport.abort()
        else:
            self.connect_to(other)


async def serve(port: int, control_port: int, storage_port: int) -> None:
    settings = Settings()
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Entrance(settings, storage_port), "127.0.0.1", port)

    async def control(request: web.BaseRequest) -> web.Response:
        if request.method == "PUT":
            settings.delay = float(request.path.removeprefix("/")) / 1000
        return web.Response(body=msgspec.json.encode(settings.counts))

    runner = web.ServerRunner(web.Server(control))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", control_port).start()
    await asyncio.Event().wait()


def main(arguments: list[str]) -> Any:
    port, control_port, storage_port = map(int, arguments)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(port, control_port, storage_port))


if __name__ == "__main__":
    main(sys.argv[1:])
