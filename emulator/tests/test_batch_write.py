"""One system call writes a frame to many sockets."""

import select
import socket
import time
from collections.abc import Iterator

import pytest
from socket_pairs import Pair, connect_pairs
from webpubsub_emulator.batch_write import MAX_SOCKETS, BatchWriter

FRAME = bytes(range(256)) * 200
MORE_THAN_A_BUFFER = bytes(8 * 1024 * 1024)
QUIET_SECONDS = 0.5


@pytest.fixture
def batch() -> Iterator[BatchWriter]:
    batch = BatchWriter()
    if not batch.is_available:
        pytest.skip("this system does not have or allow io_submit")
    yield batch
    batch.close()


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Connections; of each the sending and the receiving end."""
    with connect_pairs(MAX_SOCKETS) as pairs:
        yield [(sender, receiver) for receiver, sender in pairs]


def receive(receiver: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += receiver.recv(size - len(data))
    return data


def fill(sender: socket.socket) -> None:
    """Send until the socket has taken nothing for QUIET_SECONDS.

    A moment after it is full the kernel may move data into the receiver's buffer, which can grow.
    """
    quiet_at = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < quiet_at:
        try:
            sender.send(MORE_THAN_A_BUFFER)
            quiet_at = time.monotonic() + QUIET_SECONDS
        except BlockingIOError:
            select.select([], [sender], [], QUIET_SECONDS / 20)


@pytest.mark.parametrize("count", [1, 2, MAX_SOCKETS - 1, MAX_SOCKETS])
def test_every_socket_receives_the_frames_in_order(
    batch: BatchWriter, pairs: list[Pair], count: int
) -> None:
    frames = [b"%d:" % number + FRAME[number:] for number in range(3)]

    for frame in frames:
        descriptors = [sender.fileno() for sender, _ in pairs[:count]]
        assert batch.write(frame, descriptors) == [len(frame)] * count

    expected = b"".join(frames)
    for _, receiver in pairs[:count]:
        assert receive(receiver, len(expected)) == expected


def test_result_of_each_socket_is_what_it_took(batch: BatchWriter, pairs: list[Pair]) -> None:
    full, lost, closed = pairs[3][0], pairs[5][0], pairs[7][0]
    fill(full)
    lost.shutdown(socket.SHUT_WR)
    descriptors = [sender.fileno() for sender, _ in pairs]
    closed.close()

    written = batch.write(FRAME, descriptors)

    size = len(FRAME)
    assert [index for index, taken in enumerate(written) if taken != size] == [3, 5, 7]
    assert (written[3], written[5], written[7]) == (0, 0, 0)


def test_socket_takes_the_beginning_of_a_frame_that_exceeds_its_buffer(
    batch: BatchWriter, pairs: list[Pair]
) -> None:
    [taken] = batch.write(MORE_THAN_A_BUFFER, [pairs[0][0].fileno()])

    assert 0 < taken < len(MORE_THAN_A_BUFFER)
    assert receive(pairs[0][1], taken) == MORE_THAN_A_BUFFER[:taken]


def test_no_socket_is_written_to_without_descriptors(batch: BatchWriter) -> None:
    assert batch.write(FRAME, []) == []
