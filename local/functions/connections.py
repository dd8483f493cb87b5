"""The worker's connections, which the supervisor has open, too.

The supervisor keeps a duplicate of every connection and knows which of them wait for a response.
When the worker dies it sends those an empty 500, as the real host does.

The worker sends one message for each connection that it opens or closes: a byte and the number of
the connection's slot, with the file descriptor when it opens. The shared memory has a byte for each
slot, which is 1 while a request of that connection is being handled.
"""

import contextlib
import mmap
import select
import socket
import struct
from collections.abc import Callable

MAX_CONNECTIONS = 65536
OPENED, CLOSED, READY = b"O", b"C", b"R"

_MESSAGE = struct.Struct("!cI")
_FAILURE = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class WorkerConnections:
    """The worker's side."""

    def __init__(self, control: socket.socket, is_waiting: mmap.mmap) -> None:
        self.control = control
        self.is_waiting = is_waiting
        self._free: list[int] = []
        self._next = 0

    def open(self, connection: socket.socket) -> int:
        """The slot of a new connection; MAX_CONNECTIONS where there is none left."""
        if self._free:
            slot = self._free.pop()
        elif self._next < MAX_CONNECTIONS:
            slot, self._next = self._next, self._next + 1
        else:
            return MAX_CONNECTIONS
        socket.send_fds(self.control, [_MESSAGE.pack(OPENED, slot)], [connection.fileno()])
        return slot

    def close(self, slot: int) -> None:
        if slot < MAX_CONNECTIONS:
            self.is_waiting[slot] = 0
            self._send(CLOSED, slot)
            self._free.append(slot)

    def announce_ready(self) -> None:
        """Notifies the supervisor that the app is loaded and handles requests."""
        self._send(READY, 0)

    def _send(self, kind: bytes, slot: int) -> None:
        with contextlib.suppress(OSError):  # the supervisor has ended, so this process ends soon
            self.control.sendall(_MESSAGE.pack(kind, slot))


class SupervisedConnections:
    """The supervisor's side."""

    def __init__(self, control: socket.socket, is_waiting: mmap.mmap) -> None:
        self.control = control
        self.is_waiting = is_waiting
        self._held: dict[int, socket.socket] = {}

    def follow(self, on_ready: Callable[[], None]) -> None:
        """Keeps the duplicates; returns when the worker has ended."""
        while True:
            message, descriptors, _, _ = socket.recv_fds(
                self.control, _MESSAGE.size, 1, socket.MSG_WAITALL
            )
            if len(message) < _MESSAGE.size:
                return
            kind, slot = _MESSAGE.unpack(message)
            if kind == READY:
                on_ready()
            elif kind == CLOSED and slot in self._held:
                self._held.pop(slot).close()
            elif kind == OPENED and descriptors:  # none: this process has too many open files
                self._held[slot] = socket.socket(fileno=descriptors[0])

    def fail_waiting(self) -> int:
        """Sends a 500 to the requests that the worker left unanswered; returns how many."""
        failed = 0
        for slot, connection in self._held.items():
            if self.is_waiting[slot]:
                failed += 1
                self.is_waiting[slot] = 0
                with contextlib.suppress(OSError):
                    connection.send(_FAILURE, socket.MSG_DONTWAIT)
                    _discard_received(connection)
            connection.close()
        self._held.clear()
        return failed


def _discard_received(connection: socket.socket) -> None:
    """Closing a socket with unread data would reset the connection and lose the response."""
    connection.shutdown(socket.SHUT_WR)
    while select.select([connection], [], [], 0)[0]:
        if not connection.recv(65536, socket.MSG_DONTWAIT):
            return
