"""Polls the sockets of clients that send nothing but acknowledgements and pongs.

For each readable socket, asyncio runs a callback in a context, which makes five calls. Here all
these sockets are in one epoll object, and the event loop has one readable file for all of them.
"""

import asyncio
import select
from typing import Protocol

from webpubsub_emulator.ack_columns import parse_ack_frames
from webpubsub_emulator.ack_frame import MAX_ACK_FRAME_BYTES, is_empty_pong
from webpubsub_emulator.batch_read import BatchReader
from webpubsub_emulator.traffic import Traffic

MIN_POLLED_CLIENTS = 400
"""With fewer clients, asyncio reads them: it has no interval, in which a message could wait."""

READ_INTERVAL_SECONDS = 0.002
"""After a read, further sockets wait so long and are read together. A socket that becomes readable
when none was within the interval is read at once."""

_MAX_READS = 512
"""Sockets that are read before the event loop does other work."""

# Edge-triggered: else the system looks at each socket that was read once more. A socket is read
# until it has no data, or is handed back. An end that comes with the data is an event of its own.
_EVENTS = select.EPOLLIN | select.EPOLLET | select.EPOLLRDHUP if hasattr(select, "epoll") else 0

_READ_BYTES = MAX_ACK_FRAME_BYTES + 1
"""Data of this size is no acknowledgement, or more than one."""


class PolledReader(Protocol):
    """What reads a socket while it is not polled."""

    def acknowledge(self, sequence_id: int) -> None: ...

    def receive_pong(self, frame: bytes) -> None: ...

    def resume(self, data: bytes) -> None:
        """Read the socket again, after this data, which may be empty."""


class AckPoller:
    """Reads each socket until it has other data than one acknowledgement or pong, or ends.

    Its reader then gets the data and reads the socket again. Only Linux has epoll.
    """

    is_supported = hasattr(select, "epoll")

    def __init__(self, traffic: Traffic) -> None:
        self.clients = 0
        self._traffic = traffic
        self._epoll: select.epoll | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._readers: dict[int, PolledReader] = {}
        self._batch: BatchReader | None = None

    @property
    def is_needed(self) -> bool:
        return self.clients >= MIN_POLLED_CLIENTS

    def add(self, descriptor: int, reader: PolledReader) -> None:
        """Read a socket; a second call has no effect."""
        if self._epoll is None:
            self._epoll = select.epoll()
            self._batch = BatchReader(_READ_BYTES, _MAX_READS)
            loop = asyncio.get_running_loop()
            # It is never writable, but stays registered so. To register an epoll object takes as
            # long as it has sockets, and to change what is waited for does not.
            loop.add_writer(self._epoll.fileno(), lambda: None)
            loop.add_reader(self._epoll.fileno(), self._read_waiting)
        if descriptor not in self._readers:
            self._readers[descriptor] = reader
            self._epoll.register(descriptor, _EVENTS)

    def remove(self, descriptor: int) -> None:
        """Stop reading a socket, which is still open; a second call has no effect."""
        if self._epoll is not None and self._readers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def close(self) -> None:
        if self._epoll is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._epoll.fileno())
        loop.remove_writer(self._epoll.fileno())
        self._epoll.close()
        self._epoll = None
        if self._batch is not None:
            self._batch.close()
        self._readers.clear()

    def _read_waiting(self) -> None:
        """Read the readable sockets, and again after an interval until there are none."""
        if self._epoll is None or self._batch is None:
            return
        loop = asyncio.get_running_loop()
        waiting = self._epoll.poll(0, _MAX_READS)
        if waiting:
            if self._timer is None:
                loop.remove_reader(self._epoll.fileno())
            self._timer = loop.call_later(READ_INTERVAL_SECONDS, self._read_waiting)
            self._read_all(waiting, self._batch)
        elif self._timer is not None:
            self._timer = None
            loop.add_reader(self._epoll.fileno(), self._read_waiting)

    def _read_all(self, waiting: list[tuple[int, int]], batch: BatchReader) -> None:
        readers, is_watched = self._readers, self._traffic.is_watched
        descriptors = []
        for descriptor, events in waiting:
            if events == select.EPOLLIN and not is_watched:
                descriptors.append(descriptor)
            else:  # The reader finds out about errors itself: an error can be read only once.
                self._hand_back(descriptor, b"")
        frames = batch.read(descriptors)
        for descriptor, frame, sequence_id in zip(
            descriptors, frames, parse_ack_frames(frames), strict=True
        ):
            if sequence_id is not None:
                readers[descriptor].acknowledge(sequence_id)
            elif is_empty_pong(frame):
                readers[descriptor].receive_pong(frame)
            else:
                self._hand_back(descriptor, frame)

    def _hand_back(self, descriptor: int, data: bytes) -> None:
        reader = self._readers[descriptor]
        self.remove(descriptor)
        reader.resume(data)
