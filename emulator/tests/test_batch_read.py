"""Many sockets are read together, and none of the reads waits for data."""

import socket
from collections.abc import Iterator

import pytest
from socket_pairs import Pair, connect_pairs
from webpubsub_emulator import io_batch
from webpubsub_emulator.batch_read import BatchReader

SIZE, SOCKETS = 16, 40


@pytest.fixture(params=["batch", "each"])
def reader(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BatchReader]:
    if request.param == "each":
        monkeypatch.setattr(io_batch, "SYSTEM_CALLS", {})
    reader = BatchReader(SIZE, SOCKETS)
    if request.param == "batch" and not reader.is_batched:
        pytest.skip("this system does not have or allow io_submit")
    yield reader
    reader.close()


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Connections; of each the sending and the receiving end."""
    with connect_pairs(SOCKETS) as pairs:
        yield pairs


def test_each_socket_has_its_own_data(reader: BatchReader, pairs: list[Pair]) -> None:
    descriptors = [receiver.fileno() for _, receiver in pairs]
    for size in (SIZE, 3, 1):
        for number, (sender, _) in enumerate(pairs):
            sender.send(bytes([number]) * size)

        expected = [bytes([number]) * size for number in range(SOCKETS)]
        assert reader.read(descriptors) == expected
    pairs[5][0].send(b"again")
    assert reader.read(descriptors[5:6]) == [b"again"]
    assert reader.read([]) == []


def test_socket_without_data_is_not_waited_for_and_keeps_its_next_data(
    reader: BatchReader, pairs: list[Pair]
) -> None:
    descriptors = [receiver.fileno() for _, receiver in pairs]
    full, ended, lost, closed = pairs[3], pairs[5], pairs[7], pairs[9]
    full[0].send(b"x" * SIZE + b"rest")
    ended[0].shutdown(socket.SHUT_WR)
    lost[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
    lost[0].close()
    closed[1].close()

    data = reader.read(descriptors)

    assert [index for index, found in enumerate(data) if found] == [3]
    assert data[3] == b"x" * SIZE
    assert full[1].recv(100) == b"rest"
    assert ended[1].recv(100) == b""
    # A read that stayed pending would take this.
    pairs[0][0].send(b"later")
    assert pairs[0][1].recv(100) == b"later"
