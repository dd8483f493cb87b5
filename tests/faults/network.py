"""The network between the parts: a balancer and proxies whose requests and sockets can fail."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random

import aiohttp
from aiohttp import web
from yarl import URL

HOP_BY_HOP = {
    "connection",
    "content-encoding",
    "content-length",
    "keep-alive",
    "transfer-encoding",
}
CONNECT_TIMEOUT_SECONDS = 2.0
REQUEST_TIMEOUT_SECONDS = 240.0
CHUNK_BYTES = 65_536


@dataclass(frozen=True)
class Disturbance:
    """The share of requests that each fault hits, from 0 to 1.

    `refuse`: the connection is closed before the request is forwarded. `fail`: the response has one
    of `statuses`, and the request is not forwarded. `lose`: the request is forwarded, and its
    response is lost. `delay`: the request waits up to `delay_seconds`.
    """

    refuse: float = 0.0
    fail: float = 0.0
    statuses: Sequence[int] = (429, 500, 503)
    lose: float = 0.0
    delay: float = 0.0
    delay_seconds: float = 0.0


NONE = Disturbance()


class HttpProxy:
    """Forwards requests to its targets, round robin. Skips a target without a server."""

    def __init__(self, targets: Sequence[str], chance: Random) -> None:
        self.targets = list(targets)
        self.disturbance = NONE
        self.faults = 0
        self.url = ""
        self.before: Callable[[web.BaseRequest], Awaitable[None]] = _do_nothing
        """Awaited before a request is forwarded."""
        self._chance = chance
        self._turns = itertools.count()
        self._client: aiohttp.ClientSession
        self._runner: web.ServerRunner

    async def start(self, port: int = 0) -> None:
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(
                total=REQUEST_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS
            ),
            auto_decompress=False,
            skip_auto_headers=["Content-Type"],
        )
        self._runner = web.ServerRunner(web.Server(self._handle))
        await self._runner.setup()
        await web.TCPSite(self._runner, "localhost", port).start()
        self.url = f"http://localhost:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()
        await self._client.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        now, chance = self.disturbance, self._chance.random
        if chance() < now.delay:
            self.faults += 1
            await asyncio.sleep(chance() * now.delay_seconds)
        if chance() < now.refuse:
            return self._abort(request)
        if chance() < now.fail:
            self.faults += 1
            return web.Response(status=self._chance.choice(now.statuses))
        await self.before(request)
        response = await self._forward(request, body)
        return self._abort(request) if chance() < now.lose else response

    def _abort(self, request: web.BaseRequest) -> web.Response:
        self.faults += 1
        if request.transport:
            request.transport.abort()
        return web.Response(status=502)

    async def _forward(self, request: web.BaseRequest, body: bytes) -> web.Response:
        """The response of a target: the next one if it refuses connections, 502 if one breaks."""
        targets, first = list(self.targets), next(self._turns)
        for number in range(len(targets)):
            target = targets[(first + number) % len(targets)]
            # The unchanged URL, because the signature of a request covers it.
            url = URL(target + request.raw_path, encoded=True)
            try:
                async with self._client.request(
                    request.method, url, headers=request.headers, data=body, allow_redirects=False
                ) as response:
                    content = await response.read()
                    headers = [
                        (name, value)
                        for name, value in response.headers.items()
                        if name.lower() not in HOP_BY_HOP or name.lower() == "content-encoding"
                    ]
                    return _make_response(response.status, headers, content)
            except aiohttp.ClientConnectorError:
                continue
            except (aiohttp.ClientError, TimeoutError):
                break
        return web.Response(status=502)


@contextlib.asynccontextmanager
async def http_proxy(target: str, seed: int = 1) -> AsyncIterator[HttpProxy]:
    proxy = HttpProxy([target], Random(seed))
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


async def _do_nothing(_: web.BaseRequest) -> None:
    """Does not delay a request."""


def _make_response(status: int, headers: list[tuple[str, str]], content: bytes) -> web.Response:
    response = web.Response(status=status, body=content)
    for name, value in headers:
        if name.lower() == "content-type":
            response.headers[name] = value
        else:
            response.headers.add(name, value)
    return response


class SocketProxy:
    """Forwards the bytes of connections, which can be cut, or stay open without a response."""

    def __init__(self, port: int) -> None:
        self._target_port = port
        self.url = ""
        self.cuts = 0
        self._silent_connections: set[int] = set()
        self._silences_new = False
        self._numbers = itertools.count()
        self._open: dict[int, list[asyncio.StreamWriter]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "localhost", 0)
        self.url = f"http://localhost:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Close all connections without a closing handshake."""
        self.cuts += len(self._open)
        for writers in self._open.values():
            for writer in writers:
                writer.transport.abort()

    def silence(self, *, new: bool = False) -> None:
        """The open connections stay open and transfer nothing."""
        self.cuts += len(self._open)
        self._silences_new = new
        self._silent_connections |= set(self._open)

    def restore(self) -> None:
        """New connections work again. The silent ones stay silent, as half-open sockets do."""
        self._silences_new = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._numbers)
        self._open[number] = [writer]
        if self._silences_new:
            self._silent_connections.add(number)
        try:
            to_reader, to_writer = await asyncio.open_connection("localhost", self._target_port)
        except OSError:
            writer.transport.abort()
            del self._open[number]
            return
        self._open[number].append(to_writer)
        pumps = [
            asyncio.create_task(self._pump(number, reader, to_writer)),
            asyncio.create_task(self._pump(number, to_reader, writer)),
        ]
        for task in pumps:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for task in pumps:
            task.cancel()
        for one in (writer, to_writer):
            one.transport.abort()
        del self._open[number]
        self._silent_connections.discard(number)

    async def _pump(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if number not in self._silent_connections:
                    writer.write(data)
                    await writer.drain()
            if number in self._silent_connections:  # the end is not forwarded either
                await asyncio.Event().wait()
