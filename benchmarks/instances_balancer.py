"""Gives each request to the next instance, as Azure does: the messages of a room reach all in turn.

    python -m benchmarks.instances_balancer PORT TARGET_PORT [TARGET_PORT ...]

`PUT /balancer/N` uses the first N instances from then on.
"""

import asyncio
import sys
from collections import deque
from itertools import count

from benchmarks.instances_http import find_message_end

CONTROL = b"PUT /balancer/"
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"


class Balancer:
    """The instances, and idle connections to each."""

    def __init__(self, ports: list[int]) -> None:
        self.used = len(ports)
        self._ports = ports
        self._turns = count()
        self._idle: dict[int, deque[Upstream]] = {port: deque() for port in ports}

    async def forward(self, request: bytes, client: "Client") -> None:
        port = self._ports[next(self._turns) % self.used]
        while self._idle[port]:
            upstream = self._idle[port].pop()
            if not upstream.is_closed:
                upstream.send(request, client)
                return
        loop = asyncio.get_running_loop()
        try:
            _, upstream = await loop.create_connection(
                lambda: Upstream(self._idle[port]), "127.0.0.1", port
            )
        except OSError:
            client.answer(BAD_GATEWAY)
        else:
            upstream.send(request, client)


class Upstream(asyncio.Protocol):
    """A connection to an instance; it has one request at a time."""

    transport: asyncio.Transport

    def __init__(self, idle: "deque[Upstream]") -> None:
        self.is_closed = False
        self._idle = idle
        self._client: Client | None = None
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, request: bytes, client: "Client") -> None:
        self._client = client
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not (end := find_message_end(self._buffer)) or self._client is None:
            return
        response, client = bytes(self._buffer[:end]), self._client
        del self._buffer[:end]
        self._client = None
        self._idle.append(self)
        client.answer(response)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.is_closed = True
        if self._client is not None:
            self._client.answer(BAD_GATEWAY)


class Client(asyncio.Protocol):
    """A connection of whoever sends requests: the load, or the emulator with its events."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not (end := find_message_end(self._buffer)):
            return
        request = bytes(self._buffer[:end])
        del self._buffer[:end]
        if request.startswith(CONTROL):
            self._balancer.used = int(request[len(CONTROL) :].split(maxsplit=1)[0])
            self.answer(b"HTTP/1.1 204 No Content\r\n\r\n")
            return
        task = asyncio.create_task(self._balancer.forward(request, self))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def answer(self, response: bytes) -> None:
        if self._transport is not None:
            self._transport.write(response)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None


async def serve(port: int, targets: list[int]) -> None:
    balancer = Balancer(targets)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(balancer), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), [int(one) for one in sys.argv[2:]]))
