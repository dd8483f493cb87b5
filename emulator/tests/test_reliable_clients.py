"""A reliable client misses nothing, whatever happens to its socket."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running_emulator import (
    RELIABLE,
    TALKER,
    Browser,
    Clock,
    Desk,
    desk,
    eventually,
)
from webpubsub_emulator.frames import Outgoing
from webpubsub_emulator.hub import Connection, Hub
from webpubsub_emulator.payload import JSON as JSON_KIND
from webpubsub_emulator.payload import Payload
from webpubsub_emulator.protocol import RELIABLE_PROTOCOL
from webpubsub_emulator.replay_buffer import MOST_MESSAGES, ReplayBuffer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def d(clock: Clock) -> AsyncIterator[Desk]:
    async with desk(clock=clock) as d:
        yield d


# On the wire


async def test_what_was_missed_is_heard_again_in_order(d: Desk) -> None:
    ann = await d.enter("ann", protocol=RELIABLE, groups=["g"])
    await send(d, 1, 2)
    assert [(await ann.hears())["sequenceId"] for _ in range(2)] == [1, 2]
    await ann.says(type="sequenceAck", sequenceId=1)
    await ann.hears_nothing()
    await d.cut()
    await send(d, 3)

    back = await d.come_back(ann)
    await send(d, 4)

    assert (back.id, back.connected["userId"]) == (ann.id, "ann")
    heard = [await back.hears() for _ in range(3)]
    assert [(m["sequenceId"], m["data"]) for m in heard] == [(2, 2), (3, 3), (4, 4)]


async def test_groups_and_done_requests_survive_the_recovery(d: Desk) -> None:
    ann = await d.enter("ann", protocol=RELIABLE, roles=TALKER)
    await ann.says(type="joinGroup", group="g", ackId=1)
    await ann.hears()
    await d.cut()

    back = await d.come_back(ann)
    await back.says(type="joinGroup", group="g", ackId=1)

    assert (await back.hears())["error"]["name"] == "Duplicate"
    assert await d.ask(d.service().group_exists, "g")


async def test_groups_may_be_changed_while_a_client_is_away(d: Desk) -> None:
    ann = await d.enter("ann", protocol=RELIABLE)
    await d.cut()
    await d.ask(d.service().add_user_to_group, "g", "ann")
    await send(d, 1)

    back = await d.come_back(ann)

    assert (await back.hears())["data"] == 1


async def test_a_second_socket_takes_over_from_the_first(d: Desk) -> None:
    ann = await d.enter("ann", protocol=RELIABLE, groups=["g"])

    back = await d.come_back(ann)
    await send(d, 1)

    assert (await back.hears())["data"] == 1
    assert (await ann.websocket.receive(5)).data in (None, 1006)


@pytest.mark.parametrize(
    "changed",
    [{"awps_reconnection_token": "x"}, {"awps_connection_id": "nobody"}],
)
async def test_a_failed_recovery_is_told_with_a_close_code(
    d: Desk, changed: dict[str, str]
) -> None:
    ann = await d.enter("ann", protocol=RELIABLE)
    await d.cut()

    assert await refused(d, ann, **changed)


async def test_the_ticket_of_another_connection_is_refused(d: Desk) -> None:
    ann, bob = [await d.enter(name, protocol=RELIABLE) for name in ("ann", "bob")]
    await d.cut()

    assert await refused(d, ann, awps_connection_id=bob.id)


async def test_who_stays_away_too_long_is_gone(d: Desk, clock: Clock) -> None:
    ann = await d.enter("ann", protocol=RELIABLE)
    await d.cut()
    clock.now += 29
    assert (await d.come_back(ann)).id == ann.id
    await d.cut()
    clock.now += 31

    async def is_gone() -> bool:
        return not await d.ask(d.service().user_exists, "ann")

    await eventually(is_gone)
    assert await refused(d, ann)


async def test_a_polite_goodbye_is_final_and_any_other_is_not(d: Desk) -> None:
    ann, bob = [await d.enter(name, protocol=RELIABLE) for name in ("ann", "bob")]

    await ann.leaves(1000)
    await bob.leaves(1001)

    assert await refused(d, ann)
    assert (await d.come_back(bob)).id == bob.id


async def test_a_client_closed_by_the_application_cannot_come_back(d: Desk) -> None:
    ann = await d.enter("ann", protocol=RELIABLE)
    await d.cut()

    await d.ask(d.service().close_all_connections)

    assert await refused(d, ann)


async def test_a_message_with_a_ttl_is_not_heard_after_it(d: Desk, clock: Clock) -> None:
    ann = await d.enter("ann", protocol=RELIABLE, groups=["g"])
    bob = await d.enter("bob", roles=TALKER)
    await d.cut(user_id="ann")
    await bob.says(type="sendToGroup", group="g", data="short", ttlSeconds=1, ackId=1)
    await bob.says(type="sendToGroup", group="g", data="long", ttlSeconds=300, ackId=2)
    await bob.hears()
    await bob.hears()
    await d.ask(d.service().send_to_group, "g", "also", params={"messageTtlSeconds": 1})
    clock.now += 1

    back = await d.come_back(ann)
    await send(d, "now")

    heard = [await back.hears() for _ in range(2)]
    assert [(m["sequenceId"], m["data"]) for m in heard] == [(2, "long"), (4, "now")]


async def test_who_never_acknowledges_is_cut_off_when_the_buffer_is_full(d: Desk) -> None:
    ann = await d.enter("ann", protocol=RELIABLE, groups=["g"])
    bob = await d.enter("bob", roles=TALKER)

    for number in range(MOST_MESSAGES + 1):
        await bob.says(type="sendToGroup", group="g", data=number)

    assert await ann.is_closed() == (1008, "The reliable message buffer is full.")
    assert await refused(d, ann)


async def refused(d: Desk, browser: Browser, **changed: str) -> bool:
    with pytest.raises(AssertionError) as closed:
        await d.come_back(browser, **changed)
    return "1008" in str(closed.value) and "could not be recovered" in str(closed.value)


async def send(d: Desk, *numbers: object) -> None:
    for number in numbers:
        await d.ask(d.service().send_to_group, "g", number)


# Without a server


class Wire:
    """A socket that breaks: what was sent before it broke has arrived."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)

    def close(self, code: int, reason: str = "") -> None: ...

    def abort(self) -> None: ...


class Reader:
    """A client as the SDKs are: it drops what it has, and acknowledges the largest number."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.largest = 0

    def read(self, frames: list[bytes]) -> None:
        for frame in frames:
            message = json.loads(frame[frame.index(b"{") :])
            if message["sequenceId"] > self.largest:
                self.largest = message["sequenceId"]
                self.heard.append(message["data"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["send", "acknowledge", "cut", "lose", "return"]), max_size=60))
def test_whatever_is_cut_delivered_is_what_was_sent_in_order_and_once(deeds: list[str]) -> None:
    hub, reader, sent = Hub("chat"), Reader(), 0
    connection = Connection("chat", protocol=RELIABLE_PROTOCOL)
    wire = Wire()
    hub.admit(connection, wire)

    def come_back() -> None:
        nonlocal wire
        wire = Wire()
        for frame in hub.recover(connection, wire):
            wire.send(frame)

    for deed in (*deeds, "return"):
        if deed == "send":
            sent += 1
            message = Outgoing(Payload(JSON_KIND, b"%d" % sent))
            hub.deliver((connection,), message)
        elif deed == "acknowledge" and connection.replay is not None:
            reader.read(wire.frames)
            connection.replay.acknowledge(reader.largest)
        elif deed == "cut":
            reader.read(wire.frames)
            hub.detach(connection)
        elif deed == "lose":
            # The last frames were still under way when the socket broke.
            reader.read(wire.frames[: len(wire.frames) // 2])
            wire.frames.clear()
            hub.detach(connection)
        elif deed == "return":
            if connection.outbox is not None:
                reader.read(wire.frames)
            come_back()
    reader.read(wire.frames)

    assert reader.heard == list(range(1, sent + 1))


def test_acknowledgements_are_cumulative_and_may_be_stale() -> None:
    buffer = ReplayBuffer()
    for _ in range(5):
        buffer.add(lambda number: b"%d" % number)

    buffer.acknowledge(3)
    buffer.acknowledge(1)

    assert buffer.replay(0) == [b"4", b"5"]
    buffer.acknowledge(2**64)
    assert buffer.replay(0) == []
    assert buffer.add(lambda number: b"%d" % number) == b"6"


async def test_ten_thousand_share_one_frame() -> None:
    connections = [Connection("chat", protocol=RELIABLE_PROTOCOL) for _ in range(10_000)]
    hub = Hub("chat")
    wires = []
    for connection in connections:
        wires.append(Wire())
        hub.admit(connection, wires[-1], ["g"])

    hub.deliver(hub.of_group("g"), Outgoing(Payload(JSON_KIND, b"1"), group="g"))
    await asyncio.sleep(0)

    assert len({id(frame) for wire in wires for frame in wire.frames}) == 1
