"""The load generator: clients that each send the next request when they have the last response.

It uses no HTTP library, so that its own processor time is small beside that of the server.
"""

import asyncio
import time
from dataclasses import dataclass, field, fields
from statistics import median, quantiles
from urllib.parse import urlsplit

CLIENTS = 32
WARM_UP_SECONDS = 0.5
SECONDS = 2.0
ROUNDS = 3


@dataclass(frozen=True)
class Load:
    """The throughput of a server: requests per second, and their duration in milliseconds."""

    per_second: float
    p50: float
    p99: float


@dataclass
class Client(asyncio.Protocol):
    """One connection, which sends the next request when it has received a response."""

    request: bytes
    milliseconds: list[float] = field(default_factory=list)
    failure: bytes = b""
    _response: bytes = b""
    _sent_at: float = 0.0
    _transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._response += data
        head, end, body = self._response.partition(b"\r\n\r\n")
        if not end or not _is_complete(head, body):
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            self.failure = self._response
        self.milliseconds.append((time.perf_counter() - self._sent_at) * 1000)
        self._send()

    def close(self) -> None:
        if self._transport:
            self._transport.abort()

    def _send(self) -> None:
        assert self._transport
        self._response = b""
        self._sent_at = time.perf_counter()
        self._transport.write(self.request)


async def compare(*urls: str) -> list[Load]:
    """Measures the URLs alternately, so that other load of the machine affects all of them."""
    rounds = [[await drive(url) for url in urls] for _ in range(ROUNDS)]
    return [
        Load(*(median(getattr(load, one.name) for load in loads) for one in fields(Load)))
        for loads in zip(*rounds, strict=True)
    ]


async def drive(url: str, clients: int = CLIENTS, seconds: float = SECONDS) -> Load:
    """GET requests of concurrent clients. Raises RuntimeError if a response is not 200."""
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    request = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    running = [
        (
            await loop.create_connection(
                lambda: Client(request), parts.hostname or "", parts.port or 80
            )
        )[1]
        for _ in range(clients)
    ]
    await asyncio.sleep(WARM_UP_SECONDS)
    for client in running:
        client.milliseconds.clear()
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed = time.perf_counter() - started
    times = [one for client in running for one in client.milliseconds]
    for client in running:
        client.close()
    if failed := next((client.failure for client in running if client.failure), None):
        raise RuntimeError(f"{url} returned {failed[:300]!r}")
    hundredths = quantiles(times, n=100)
    return Load(len(times) / elapsed, hundredths[49], hundredths[98])


def _is_complete(head: bytes, body: bytes) -> bool:
    """Whether a response is complete, by its Content-Length or its chunks."""
    head = head.lower()
    if b"\r\ntransfer-encoding: chunked" not in head:
        _, _, rest = head.partition(b"content-length:")
        return len(body) >= int(rest.partition(b"\r\n")[0])
    while line := body.partition(b"\r\n"):
        if not line[1]:
            return False
        size = int(line[0], 16)
        if size == 0:
            return line[2] == b"\r\n"
        body = line[2][size + 2 :]
    return False
