"""The load of the benchmark `instances`: people who send messages, without an HTTP library.

The requests are those of Web PubSub, which calls the webhook with each message of a connection.
"""

import asyncio
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from statistics import quantiles

import msgspec
from webpubsub_emulator.access_keys import AccessKeys
from webpubsub_emulator.cloud_events import sign

from benchmarks.instances_http import find_message_end, status_of
from events.cloudevents import state_header
from local.parts import ACCESS_KEY, HUB

ANSWER_TIMEOUT_SECONDS = 30.0


@dataclass
class Answers:
    """The duration of each accepted message in milliseconds, and the number of rejected ones."""

    milliseconds: list[float] = field(default_factory=list)
    refused: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.milliseconds) / self.seconds

    def percentile(self, percent: int) -> float:
        if len(self.milliseconds) < 2:
            return float("nan")
        return quantiles(self.milliseconds, n=100, method="inclusive")[percent - 1]


class Connection(asyncio.Protocol):
    """A connection of one sender, with one request at a time."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    async def ask(self, request: bytes) -> bytes:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
            return await self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if (end := find_message_end(self._buffer)) and self._answer and not self._answer.done():
            self._answer.set_result(bytes(self._buffer[:end]))
            del self._buffer[:end]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("The balancer closed a connection."))


@dataclass
class Sender:
    """Sends one message after the other to one room."""

    connection: Connection
    room: str
    name: str
    sent: int = 0

    @cached_property
    def _headers(self) -> str:
        """What is equal in each request. The state has the rooms that the connection is in."""
        connection = uuid.uuid4().hex
        ((state_name, state),) = state_header((self.room,)).items()
        return (
            "POST /api/pubsub/events HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Type: application/json; charset=utf-8\r\n"
            "ce-specversion: 1.0\r\nce-type: azure.webpubsub.user.message\r\n"
            f"ce-eventName: message\r\nce-hub: {HUB}\r\nce-userId: {self.name}\r\n"
            f"ce-source: /hubs/{HUB}/client/{connection}\r\nce-connectionId: {connection}\r\n"
            f"ce-signature: {sign(AccessKeys(ACCESS_KEY), connection)}\r\n{state_name}: {state}\r\n"
        )

    async def send(self) -> bool:
        """Send the next message; whether it was accepted."""
        self.sent += 1
        body = msgspec.json.encode(
            {
                "room": self.room,
                "content": f"Message {self.sent} of {self.name}, of a usual length.",
                "id": str(self.sent),
            }
        )
        head = (
            f"{self._headers}ce-id: {self.sent}\r\nce-time: {datetime.now(UTC).isoformat()}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        response = await self.connection.ask(head.encode() + body)
        return status_of(response) in {200, 204} and b'"type":"error"' not in response


async def open_senders(port: int, rooms: list[str], each: int) -> list[Sender]:
    loop = asyncio.get_running_loop()
    senders = []
    for room in rooms:
        for number in range(each):
            _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
            senders.append(Sender(connection, room, f"s{number}"))
    return senders


async def send_closed_loop(senders: list[Sender], warm_up: float, seconds: float) -> Answers:
    """Each client sends the next message when it has the response to the last one."""
    answers = Answers(seconds=seconds)
    started = time.perf_counter()
    counted_from, end = started + warm_up, started + warm_up + seconds

    async def run(sender: Sender) -> None:
        while (began := time.perf_counter()) < end:
            is_accepted = await sender.send()
            now = time.perf_counter()
            if not is_accepted:
                answers.refused += 1
                await asyncio.sleep(0.5)
            elif counted_from <= now < end:
                answers.milliseconds.append(1000 * (now - began))

    await asyncio.gather(*map(run, senders))
    return answers


async def send_at_rate(
    senders: list[Sender], rate: float, warm_up: float, seconds: float
) -> Answers:
    """A number of messages a second, independent of the responses to earlier ones.

    A message that finds no free sender waits for one, and the wait counts: the time of an answer
    is measured from the moment at which the message should have left.
    """
    answers = Answers(seconds=seconds)
    free: asyncio.Queue[Sender] = asyncio.Queue()
    for sender in senders:
        free.put_nowait(sender)
    started = time.perf_counter()
    counted_from, end = started + warm_up, started + warm_up + seconds

    async def send(due: float) -> None:
        sender = await free.get()
        try:
            is_accepted = await sender.send()
        finally:
            free.put_nowait(sender)
        if due < counted_from:
            return
        if is_accepted:
            answers.milliseconds.append(1000 * (time.perf_counter() - due))
        else:
            answers.refused += 1

    async with asyncio.TaskGroup() as group:
        for due in _times(started, end, rate):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(send(due))
    # Answers after the end count in the percentiles; the rate is that of what was kept up with.
    answers.seconds = max(seconds, time.perf_counter() - counted_from)
    return answers


def _times(start: float, end: float, rate: float) -> Iterator[float]:
    number = 0
    while (due := start + number / rate) < end:
        yield due
        number += 1


def close(senders: list[Sender]) -> None:
    for sender in senders:
        sender.connection.transport.abort()
