"""The sockets of clients that only acknowledge are read together."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from running_emulator import GROUP_ROLES, RELIABLE, run_emulator
from test_broadcast import ack, frame
from webpubsub_emulator import ack_poller, io_batch
from webpubsub_emulator.ack_poller import AckPoller
from webpubsub_emulator.traffic import Traffic

TIMEOUT_SECONDS = 20
PING = frame(b'{"type":"ping"}')
PONG = frame(b"", first=0x8A)


class RecordingReader:
    """Records what the poller reads from one socket."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.acknowledged: list[int] = []
        self.pongs: list[bytes] = []
        self.resumed: list[bytes] = []

    def acknowledge(self, sequence_id: int) -> None:
        self.acknowledged.append(sequence_id)
        self.changed.set()

    def receive_pong(self, frame: bytes) -> None:
        self.pongs.append(frame)
        self.changed.set()

    def resume(self, data: bytes) -> None:
        self.resumed.append(data)
        self.changed.set()

    async def wait(self) -> None:
        await asyncio.wait_for(self.changed.wait(), TIMEOUT_SECONDS)
        self.changed.clear()


@pytest.fixture
async def poller() -> AsyncIterator[AckPoller]:
    if not AckPoller.is_supported:
        pytest.skip("only Linux has epoll")
    poller = AckPoller(Traffic(enabled=False))
    yield poller
    poller.close()


class PolledClient(NamedTuple):
    """The client's end of a connection, the polled end, and what the poller reads from it."""

    client: socket.socket
    polled: socket.socket
    reader: RecordingReader


@pytest.fixture
async def polled_client(poller: AckPoller) -> AsyncIterator[PolledClient]:
    """A client whose socket the poller reads."""
    client, polled = socket.socketpair()
    polled.settimeout(0)
    reader = RecordingReader()
    with client, polled:
        poller.add(polled.fileno(), reader)
        yield PolledClient(client, polled, reader)


async def test_acknowledgements_are_read_until_there_is_other_data(
    poller: AckPoller, polled_client: PolledClient
) -> None:
    client, polled, reader = polled_client

    for number in range(1, 6):
        client.send(ack(number))
        await reader.wait()
    client.send(PING)
    await reader.wait()
    client.send(ack(6))
    second = RecordingReader()
    poller.add(polled.fileno(), second)
    await second.wait()

    assert (reader.acknowledged, reader.resumed) == ([1, 2, 3, 4, 5], [PING])
    assert (second.acknowledged, second.resumed) == ([6], [])


async def test_socket_is_still_read_after_a_pong(
    poller: AckPoller, polled_client: PolledClient
) -> None:
    client, polled, reader = polled_client
    poller.add(polled.fileno(), reader)

    for data in (PONG, ack(1), PONG, ack(2)):
        client.send(data)
        await reader.wait()

    assert (reader.pongs, reader.acknowledged, reader.resumed) == ([PONG, PONG], [1, 2], [])


@pytest.mark.parametrize("data", [ack(1) + ack(2), ack(1)[:10], PING + ack(1), ack(1) + PING])
async def test_all_other_data_is_left_to_the_reader(
    polled_client: PolledClient, data: bytes
) -> None:
    client, _, reader = polled_client

    client.send(data)
    await reader.wait()

    assert (reader.acknowledged, reader.resumed) == ([], [data])


async def test_end_of_a_socket_is_left_to_the_reader(polled_client: PolledClient) -> None:
    client, polled, reader = polled_client

    client.shutdown(socket.SHUT_WR)
    await reader.wait()

    assert reader.resumed == [b""]
    assert os.read(polled.fileno(), 1) == b""


async def test_removed_socket_is_not_read(poller: AckPoller, polled_client: PolledClient) -> None:
    client, polled, reader = polled_client
    poller.remove(polled.fileno())
    poller.remove(polled.fileno())
    ours, theirs = socket.socketpair()
    with ours, theirs:
        other = RecordingReader()
        poller.add(theirs.fileno(), other)

        client.send(ack(1))
        ours.send(ack(2))
        await other.wait()

    assert (reader.acknowledged, other.acknowledged) == ([], [2])


OTHER_DATA = {
    "two acknowledgements": ack(1) + ack(2),
    "beginning of a frame": ack(1)[:10],
    "one byte": ack(1)[:1],
    "ping": PING,
    "pong and acknowledgement": PONG + ack(1),
    "pong with content": frame(b"ping", first=0x8A),
    "close frame": frame(b"\x03\xe8", first=0x88),
    "acknowledgement with another mask in the header": ack(1)[:3] + b"\xff" + ack(1)[4:],
    "message of many bytes": frame(b"x" * 5000),
}


@pytest.mark.parametrize("system_calls", [io_batch.SYSTEM_CALLS, {}], ids=["batch", "each"])
async def test_each_of_many_readable_sockets_gets_what_belongs_to_it(
    poller: AckPoller, monkeypatch: pytest.MonkeyPatch, system_calls: dict[str, tuple[int, ...]]
) -> None:
    monkeypatch.setattr(io_batch, "SYSTEM_CALLS", system_calls)
    with contextlib.ExitStack() as sockets:
        readers, clients, polled = [], [], []
        for _ in range(45):
            ours, theirs = map(sockets.enter_context, socket.socketpair())
            theirs.settimeout(0)
            readers.append(RecordingReader())
            clients.append(ours)
            polled.append(theirs)
            poller.add(theirs.fileno(), readers[-1])
        others = dict(zip(range(3, 45, 5), OTHER_DATA.values(), strict=True))
        ended, lost, removed, silent = 4, 9, 14, 19
        for number, client in enumerate(clients):
            if number != silent:
                client.send(others.get(number, ack(10 ** (number % 19))))
        clients[ended].shutdown(socket.SHUT_WR)
        clients[lost].close()
        poller.remove(polled[removed].fileno())
        gone = {ended, lost, removed, silent, *others}
        remaining = [number for number in range(45) if number not in gone]

        for number in {*range(45)} - {removed, silent}:
            await readers[number].wait()
        for number in remaining:
            clients[number].send(ack(number))
            await readers[number].wait()

        for number in remaining:
            assert readers[number].acknowledged == [10 ** (number % 19), number]
            assert readers[number].resumed == []
        for number, data in others.items():
            assert readers[number].acknowledged == []
            # What does not fit into the poller's buffer is still in the socket.
            [start] = readers[number].resumed
            rest = polled[number].recv(10_000) if len(start) < len(data) else b""
            assert start + rest == data
        for number in (ended, lost):
            assert (readers[number].acknowledged, readers[number].resumed) == ([], [b""])
            assert polled[number].recv(100) == ack(10 ** (number % 19))
            assert polled[number].recv(100) == b""
        for number in (removed, silent):
            assert (readers[number].acknowledged, readers[number].resumed) == ([], [])


# Over sockets


async def test_polled_clients_keep_order_requests_and_recovery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ack_poller, "MIN_POLLED_CLIENTS", 1)
    async with run_emulator() as emulator:
        users = [f"u{number}" for number in range(6)]
        clients = [
            await emulator.connect(user, protocol=RELIABLE, roles=GROUP_ROLES, groups=["g"])
            for user in users
        ]
        for number in range(1, 5):
            await emulator.call(emulator.service().send_to_group, "g", number)
            for client in clients:
                assert (await client.receive())["sequenceId"] == number
                await client.send(type="sequenceAck", sequenceId=number)
                if number % 2:
                    await client.send(type="joinGroup", group=f"{number}", ackId=number)
                    assert (await client.receive())["success"]
        ann, bob = clients[:2]
        await ann.send(type="sendToGroup", group="g", data="x" * 300_000, ackId=9)
        answers = [await ann.receive() for _ in range(2)]
        assert {answer["type"] for answer in answers} == {"ack", "message"}
        await bob.close(1000)
        await emulator.drop_connections(user_id="u0")
        await emulator.call(emulator.service().send_to_group, "g", "after")

        back = await emulator.reconnect(ann)

        assert [(await back.receive())["sequenceId"] for _ in range(2)] == [5, 6]
        for client in clients[2:]:
            assert [(await client.receive())["sequenceId"] for _ in range(2)] == [5, 6]


async def test_viewer_shows_the_first_acknowledgement_of_a_client_that_was_polled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ack_poller, "MIN_POLLED_CLIENTS", 1)
    async with run_emulator() as emulator:
        ann = await emulator.connect(protocol=RELIABLE)
        with emulator.server.traffic.subscribe() as viewer:
            await ann.send(type="sequenceAck", sequenceId=0)
            async with asyncio.timeout(TIMEOUT_SECONDS):
                async for batch in viewer.batches():
                    if any(b"sequenceAck" in encoded for _, encoded in batch):
                        return


async def test_viewer_shows_the_acknowledgements_of_polled_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ack_poller, "MIN_POLLED_CLIENTS", 1)
    async with run_emulator() as emulator:
        ann = await emulator.connect(protocol=RELIABLE, groups=["g"])
        for number in (1, 2):
            await emulator.call(emulator.service().send_to_group, "g", number)
            await ann.receive()
            await ann.send(type="sequenceAck", sequenceId=number)
            await ann.send(type="ping")
            await ann.receive()
            await ann.send(type="sequenceAck", sequenceId=number)
        with emulator.server.traffic.subscribe() as viewer:
            await ann.send(type="sequenceAck", sequenceId=2)
            async with asyncio.timeout(TIMEOUT_SECONDS):
                async for batch in viewer.batches():
                    if any(b"sequenceAck" in encoded for _, encoded in batch):
                        return
