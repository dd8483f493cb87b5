"""Reliable clients: recovery and replay after a dropped socket."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running_emulator import (
    GROUP_ROLES,
    RELIABLE,
    ClientSocket,
    RunningEmulator,
    run_emulator,
    wait_until,
)
from webpubsub_emulator import ManualClock
from webpubsub_emulator.hub import Connection, Hub
from webpubsub_emulator.payload import JSON as JSON_KIND
from webpubsub_emulator.payload import Payload
from webpubsub_emulator.protocol import RELIABLE_PROTOCOL
from webpubsub_emulator.replay_buffer import MAX_BUFFERED_MESSAGES, ReplayBuffer
from webpubsub_emulator.server_messages import OutgoingMessage


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def emulator(clock: ManualClock) -> AsyncIterator[RunningEmulator]:
    async with run_emulator(clock=clock) as emulator:
        yield emulator


# Over sockets


async def test_missed_messages_are_replayed_in_order(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann", protocol=RELIABLE, groups=["g"])
    await send(emulator, 1, 2)
    assert [(await ann.receive())["sequenceId"] for _ in range(2)] == [1, 2]
    await ann.send(type="sequenceAck", sequenceId=1)
    await ann.assert_no_message()
    await emulator.drop_connections()
    await send(emulator, 3)

    back = await emulator.reconnect(ann)
    await send(emulator, 4)

    assert (back.id, back.connected["userId"]) == (ann.id, "ann")
    received = [await back.receive() for _ in range(3)]
    assert [(m["sequenceId"], m["data"]) for m in received] == [(2, 2), (3, 3), (4, 4)]


async def test_groups_and_ack_ids_survive_the_recovery(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann", protocol=RELIABLE, roles=GROUP_ROLES)
    await ann.send(type="joinGroup", group="g", ackId=1)
    await ann.receive()
    await emulator.drop_connections()

    back = await emulator.reconnect(ann)
    await back.send(type="joinGroup", group="g", ackId=1)

    assert (await back.receive())["error"]["name"] == "Duplicate"
    assert await emulator.call(emulator.service().group_exists, "g")


async def test_groups_can_change_while_a_client_is_detached(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann", protocol=RELIABLE)
    await emulator.drop_connections()
    await emulator.call(emulator.service().add_user_to_group, "g", "ann")
    await send(emulator, 1)

    back = await emulator.reconnect(ann)

    assert (await back.receive())["data"] == 1


async def test_second_socket_replaces_the_first(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann", protocol=RELIABLE, groups=["g"])

    back = await emulator.reconnect(ann)
    await send(emulator, 1)

    assert (await back.receive())["data"] == 1
    assert (await ann.websocket.receive(5)).data in (None, 1006)


@pytest.mark.parametrize(
    "changed",
    [{"awps_reconnection_token": "x"}, {"awps_connection_id": "missing"}],
)
async def test_failed_recovery_is_a_close_code(
    emulator: RunningEmulator, changed: dict[str, str]
) -> None:
    ann = await emulator.connect("ann", protocol=RELIABLE)
    await emulator.drop_connections()

    assert await is_rejected(emulator, ann, **changed)


async def test_reconnection_token_of_another_connection_is_rejected(
    emulator: RunningEmulator,
) -> None:
    ann, bob = [await emulator.connect(name, protocol=RELIABLE) for name in ("ann", "bob")]
    await emulator.drop_connections()

    assert await is_rejected(emulator, ann, awps_connection_id=bob.id)


async def test_recovery_fails_after_the_retention_time(
    emulator: RunningEmulator, clock: ManualClock
) -> None:
    ann = await emulator.connect("ann", protocol=RELIABLE)
    await emulator.drop_connections()
    clock.advance(29)
    assert (await emulator.reconnect(ann)).id == ann.id
    await emulator.drop_connections()
    clock.advance(31)

    async def is_removed() -> bool:
        return not await emulator.call(emulator.service().user_exists, "ann")

    await wait_until(is_removed)
    assert await is_rejected(emulator, ann)


async def test_close_code_1000_is_final_and_any_other_is_not(emulator: RunningEmulator) -> None:
    ann, bob = [await emulator.connect(name, protocol=RELIABLE) for name in ("ann", "bob")]

    await ann.close(1000)
    await bob.close(1001)

    assert await is_rejected(emulator, ann)
    assert (await emulator.reconnect(bob)).id == bob.id


async def test_client_closed_by_rest_cannot_recover(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann", protocol=RELIABLE)
    await emulator.drop_connections()

    await emulator.call(emulator.service().close_all_connections)

    assert await is_rejected(emulator, ann)


async def test_message_is_not_replayed_after_its_ttl(
    emulator: RunningEmulator, clock: ManualClock
) -> None:
    ann = await emulator.connect("ann", protocol=RELIABLE, groups=["g"])
    bob = await emulator.connect("bob", roles=GROUP_ROLES)
    await emulator.drop_connections(user_id="ann")
    await bob.send(type="sendToGroup", group="g", data="short", ttlSeconds=1, ackId=1)
    await bob.send(type="sendToGroup", group="g", data="long", ttlSeconds=300, ackId=2)
    await bob.receive()
    await bob.receive()
    await emulator.call(
        emulator.service().send_to_group, "g", "also", params={"messageTtlSeconds": 1}
    )
    clock.advance(1)

    back = await emulator.reconnect(ann)
    await send(emulator, "now")

    received = [await back.receive() for _ in range(2)]
    assert [(m["sequenceId"], m["data"]) for m in received] == [(2, "long"), (4, "now")]


async def test_full_replay_buffer_closes_the_connection(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann", protocol=RELIABLE, groups=["g"])
    bob = await emulator.connect("bob", roles=GROUP_ROLES)

    for number in range(MAX_BUFFERED_MESSAGES + 1):
        await bob.send(type="sendToGroup", group="g", data=number)

    assert await ann.receive_close() == (1008, "The reliable message buffer is full.")
    assert await is_rejected(emulator, ann)


async def is_rejected(emulator: RunningEmulator, client: ClientSocket, **changed: str) -> bool:
    with pytest.raises(AssertionError) as closed:
        await emulator.reconnect(client, **changed)
    return "1008" in str(closed.value) and "could not be recovered" in str(closed.value)


async def send(emulator: RunningEmulator, *numbers: object) -> None:
    for number in numbers:
        await emulator.call(emulator.service().send_to_group, "g", number)


# Without a server


class RecordingWriter:
    """A writer that records its frames."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)

    def close(self, code: int, reason: str = "") -> None: ...

    def abort(self) -> None: ...


class ReliableReader:
    """A client as in the SDKs: ignores repeated messages and acknowledges the largest id."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.largest = 0

    def read(self, frames: list[bytes]) -> None:
        for frame in frames:
            message = json.loads(frame[frame.index(b"{") :])
            if message["sequenceId"] > self.largest:
                self.largest = message["sequenceId"]
                self.received.append(message["data"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["send", "acknowledge", "cut", "lose", "return"]), max_size=60))
def test_delivery_is_exactly_once_and_in_order_across_dropped_sockets(steps: list[str]) -> None:
    hub, reader, sent = Hub("chat"), ReliableReader(), 0
    connection = Connection("chat", protocol=RELIABLE_PROTOCOL)
    wire = RecordingWriter()
    hub.add_connection(connection, wire)

    def reconnect() -> None:
        nonlocal wire
        wire = RecordingWriter()
        for frame in hub.recover(connection, wire):
            wire.send(frame)

    for step in (*steps, "return"):
        if step == "send":
            sent += 1
            message = OutgoingMessage(Payload(JSON_KIND, b"%d" % sent))
            hub.deliver((connection,), message)
        elif step == "acknowledge" and connection.replay_buffer is not None:
            reader.read(wire.frames)
            connection.replay_buffer.acknowledge(reader.largest)
        elif step == "cut":
            reader.read(wire.frames)
            hub.detach(connection)
        elif step == "lose":
            # The last frames were lost with the socket.
            reader.read(wire.frames[: len(wire.frames) // 2])
            wire.frames.clear()
            hub.detach(connection)
        elif step == "return":
            if connection.writer is not None:
                reader.read(wire.frames)
            reconnect()
    reader.read(wire.frames)

    assert reader.received == list(range(1, sent + 1))


def test_sequence_acks_are_cumulative_and_can_be_stale() -> None:
    buffer = ReplayBuffer()
    for _ in range(5):
        buffer.add(lambda number: b"%d" % number)

    buffer.acknowledge(3)
    buffer.acknowledge(1)

    assert buffer.unacknowledged(0) == [b"4", b"5"]
    buffer.acknowledge(2**64)
    assert buffer.unacknowledged(0) == []
    assert buffer.add(lambda number: b"%d" % number) == b"6"


async def test_ten_thousand_clients_share_one_frame() -> None:
    connections = [Connection("chat", protocol=RELIABLE_PROTOCOL) for _ in range(10_000)]
    hub = Hub("chat")
    wires = []
    for connection in connections:
        wires.append(RecordingWriter())
        hub.add_connection(connection, wires[-1], ["g"])

    hub.deliver(hub.group_connections("g"), OutgoingMessage(Payload(JSON_KIND, b"1"), group="g"))
    await asyncio.sleep(0)

    assert len({id(frame) for wire in wires for frame in wire.frames}) == 1
