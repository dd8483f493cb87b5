"""Polls the sockets of clients that send nothing but acknowledgements.

For each readable socket, asyncio runs a callback in a context, which makes five calls. Here all
these sockets are in one epoll object, and the event loop has one readable file for all of them.
"""

import asyncio
import os
import select
from typing import Protocol

from webpubsub_emulator.ack_frame import MAX_ACK_FRAME_BYTES, parse_ack_frame
from webpubsub_emulator.traffic import Traffic

MIN_POLLED_CLIENTS = 400
"""With fewer clients, asyncio reads them: it has no interval, in which a message could wait."""

READ_INTERVAL_SECONDS = 0.002
"""After a read, further sockets wait so long and are read together. A socket that becomes readable
when none was within the interval is read at once."""

_MAX_READS = 256
"""Sockets that are read before the event loop does other work."""

_READ_BYTES = MAX_ACK_FRAME_BYTES + 1
"""Data of this size is no acknowledgement, or more than one."""


class PolledReader(Protocol):
    """What reads a socket while it is not polled."""

    def acknowledge(self, sequence_id: int) -> None: ...

    def resume(self, data: bytes) -> None:
        """Read the socket again, after this data, which may be empty."""


class AckPoller:
    """Reads each socket until it has other data than one acknowledgement, or ends.

    Its reader then gets the data and reads the socket again. Only Linux has epoll.
    """

    is_supported = hasattr(select, "epoll")

    def __init__(self, traffic: Traffic) -> None:
        self.clients = 0
        self._traffic = traffic
        self._epoll: select.epoll | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._readers: dict[int, PolledReader] = {}

    @property
    def is_needed(self) -> bool:
        return self.clients >= MIN_POLLED_CLIENTS

    def add(self, descriptor: int, reader: PolledReader) -> None:
        if self._epoll is None:
            self._epoll = select.epoll()
            loop = asyncio.get_running_loop()
            # It is never writable, but stays registered so. To register an epoll object takes as
            # long as it has sockets, and to change what is waited for does not.
            loop.add_writer(self._epoll.fileno(), lambda: None)
            loop.add_reader(self._epoll.fileno(), self._read_waiting)
        self._readers[descriptor] = reader
        self._epoll.register(descriptor, select.EPOLLIN)

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
        self._readers.clear()

    def _read_waiting(self) -> None:
        """Read the readable sockets, and again after an interval until there are none."""
        if self._epoll is None:
            return
        loop = asyncio.get_running_loop()
        waiting = self._epoll.poll(0, _MAX_READS)
        if waiting:
            if self._timer is None:
                loop.remove_reader(self._epoll.fileno())
            self._timer = loop.call_later(READ_INTERVAL_SECONDS, self._read_waiting)
            self._read_all(waiting)
        elif self._timer is not None:
            self._timer = None
            loop.add_reader(self._epoll.fileno(), self._read_waiting)

    def _read_all(self, waiting: list[tuple[int, int]]) -> None:
        readers, is_watched = self._readers, self._traffic.is_watched
        for descriptor, events in waiting:
            try:
                # The reader finds out about errors itself: an error can be read only once.
                data = os.read(descriptor, _READ_BYTES) if events == select.EPOLLIN else b""
            except OSError:
                data = b""
            sequence_id = None if is_watched else parse_ack_frame(data)
            if sequence_id is not None:
                readers[descriptor].acknowledge(sequence_id)
            else:
                self._hand_back(descriptor, data)

    def _hand_back(self, descriptor: int, data: bytes) -> None:
        reader = self._readers[descriptor]
        self.remove(descriptor)
        reader.resume(data)
