"""The sockets of clients that only acknowledge are read together."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from running_emulator import GROUP_ROLES, RELIABLE, run_emulator
from test_broadcast import ack, frame
from webpubsub_emulator import ack_poller
from webpubsub_emulator.ack_poller import AckPoller
from webpubsub_emulator.traffic import Traffic

TIMEOUT_SECONDS = 20
PING = frame(b'{"type":"ping"}')


class RecordingReader:
    """Records what the poller reads from one socket."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.acknowledged: list[int] = []
        self.resumed: list[bytes] = []

    def acknowledge(self, sequence_id: int) -> None:
        self.acknowledged.append(sequence_id)
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


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's end and the polled end."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    with ours, theirs:
        yield ours, theirs


async def test_acknowledgements_are_read_until_there_is_other_data(
    poller: AckPoller, pair: tuple[socket.socket, socket.socket]
) -> None:
    client, polled = pair
    reader = RecordingReader()
    poller.add(polled.fileno(), reader)

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


@pytest.mark.parametrize("data", [ack(1) + ack(2), ack(1)[:10], PING + ack(1), ack(1) + PING])
async def test_all_other_data_is_left_to_the_reader(
    poller: AckPoller, pair: tuple[socket.socket, socket.socket], data: bytes
) -> None:
    client, polled = pair
    reader = RecordingReader()
    poller.add(polled.fileno(), reader)

    client.send(data)
    await reader.wait()

    assert (reader.acknowledged, reader.resumed) == ([], [data])


async def test_end_of_a_socket_is_left_to_the_reader(
    poller: AckPoller, pair: tuple[socket.socket, socket.socket]
) -> None:
    client, polled = pair
    reader = RecordingReader()
    poller.add(polled.fileno(), reader)

    client.shutdown(socket.SHUT_WR)
    await reader.wait()

    assert reader.resumed == [b""]
    assert os.read(polled.fileno(), 1) == b""


async def test_removed_socket_is_not_read(
    poller: AckPoller, pair: tuple[socket.socket, socket.socket]
) -> None:
    client, polled = pair
    reader = RecordingReader()
    poller.add(polled.fileno(), reader)
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
