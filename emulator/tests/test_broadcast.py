"""Messages to many clients are written by several threads; acknowledgements are read early."""

import asyncio
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running_emulator import JSON, RELIABLE, run_emulator
from webpubsub_emulator import broadcast, io_batch
from webpubsub_emulator.ack_reader import READ_BUFFER_BYTES, AckReader
from webpubsub_emulator.traffic import Traffic

CLIENTS = 12
MESSAGE_BYTES = 900_000
BUFFER = memoryview(bytearray(READ_BUFFER_BYTES))


@pytest.mark.parametrize("system_calls", [io_batch.SYSTEM_CALLS, {}], ids=["batch", "each"])
@pytest.mark.parametrize("protocol", [JSON, RELIABLE])
async def test_clients_that_read_late_receive_every_message_whole_and_in_order(
    monkeypatch: pytest.MonkeyPatch, protocol: str, system_calls: dict[str, tuple[int, ...]]
) -> None:
    monkeypatch.setattr(broadcast, "MIN_PARALLEL_FRAMES", 2)
    monkeypatch.setattr(io_batch, "SYSTEM_CALLS", system_calls)
    texts = [f"{number}{'x' * MESSAGE_BYTES}" for number in range(6)]
    async with run_emulator() as emulator:
        clients = [await emulator.connect(protocol=protocol, groups=["g"]) for _ in range(CLIENTS)]
        await clients.pop().close()
        # They exceed the buffer of each socket, and no client reads meanwhile.
        for text in texts:
            await emulator.call(emulator.service().send_to_group, "g", text)

        for client in clients:
            assert [(await client.receive())["data"] for _ in texts] == texts


# Without a server


class RecordingProtocol(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data


def receive(reader: AckReader, data: bytes) -> None:
    """As asyncio does: into the buffer of the reader."""
    reader.get_buffer(-1)[: len(data)] = data
    reader.buffer_updated(len(data))


def frame(payload: bytes, first: int = 0x81, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    length = len(payload)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    if length < 126:
        return bytes((first, 0x80 | length)) + mask + masked
    return bytes((first, 0x80 | 126)) + length.to_bytes(2, "big") + mask + masked


def ack(sequence_id: int) -> bytes:
    return frame(b'{"type":"sequenceAck","sequenceId":%d}' % sequence_id)


# The frames of a client that is no acknowledgement, among them one whose payload looks like one.
OTHERS = [
    frame(b'{"type":"ping"}'),
    frame(b"x" * 300),
    frame(b"", first=0x8A),
    frame(b"part", first=0x01) + frame(b"", first=0x8A) + frame(b" end", first=0x80),
    frame(ack(7)),
    frame(b'{"type":"sequenceAck","sequenceId":1,"sequenceId":2}'),
]


@settings(max_examples=300, deadline=None)
@given(
    frames=st.lists(st.one_of(st.integers(1, 10**18), st.sampled_from(OTHERS)), max_size=12),
    cuts=st.lists(st.integers(0, 800), max_size=12),
)
def test_no_byte_is_lost_for_any_split_of_the_data(
    frames: Sequence[int | bytes], cuts: Sequence[int]
) -> None:
    inner, acknowledged = RecordingProtocol(), []
    reader = AckReader(inner, BUFFER, acknowledged.append, Traffic(enabled=False))
    sent = b"".join(ack(one) if isinstance(one, int) else one for one in frames)
    places = [0, *sorted(cut for cut in cuts if cut < len(sent)), len(sent)]

    for start, end in itertools.pairwise(places):
        receive(reader, sent[start:end])

    rest = list(acknowledged)
    expected = b""
    for one in frames:
        if isinstance(one, int) and rest and rest[0] == one and _is_left_out(inner, expected, one):
            rest.pop(0)
        else:
            expected += ack(one) if isinstance(one, int) else one
    assert (inner.data, rest) == (expected, [])


def _is_left_out(inner: RecordingProtocol, before: bytes, sequence_id: int) -> bool:
    """Whether the acknowledgement is not among what aiohttp's protocol got at this place."""
    return not inner.data.startswith(before + ack(sequence_id))


def test_an_acknowledgement_that_arrives_alone_is_read_at_once() -> None:
    inner, acknowledged = RecordingProtocol(), []
    reader = AckReader(inner, BUFFER, acknowledged.append, Traffic(enabled=False))

    for data in (ack(3), OTHERS[1], ack(4), OTHERS[0][:9], OTHERS[0][9:], ack(5), OTHERS[3]):
        receive(reader, data)

    assert acknowledged == [3, 4, 5]
    assert inner.data == OTHERS[1] + OTHERS[0] + OTHERS[3]


def test_pong_that_the_poller_has_read_is_left_to_aiohttp() -> None:
    inner = RecordingProtocol()
    reader = AckReader(inner, BUFFER, lambda _: None, Traffic(enabled=False))

    reader.receive_pong(OTHERS[2])

    assert inner.data == OTHERS[2]


def test_an_acknowledgement_inside_of_a_message_in_parts_is_left_to_aiohttp() -> None:
    inner, acknowledged = RecordingProtocol(), []
    reader = AckReader(inner, BUFFER, acknowledged.append, Traffic(enabled=False))

    receive(reader, frame(b"part", first=0x01))
    receive(reader, ack(1))

    assert (acknowledged, inner.data) == ([], frame(b"part", first=0x01) + ack(1))
