"""TCP ports of this machine."""

import itertools
import socket
import threading
from collections.abc import Iterator
from functools import cache

# Below the ports that systems give to outgoing connections and to sockets bound to port 0.
FIRST_PORT, LAST_PORT = 20_000, 31_999
PORTS_PER_PROCESS = 100


def free_ports(count: int) -> list[int]:
    """Free ports, all different. Other processes that call this get others.

    A port that is only seen to be free could be taken by another process before a server uses it.
    """
    return _reserved_ports().take(count)


def is_taken(port: int) -> bool:
    """Whether a program listens on this port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


class _ReservedPorts:
    """A range of ports, used in turn. It is reserved until the process ends.

    The reservation is a UDP socket: the servers use TCP, which has ports of its own.
    """

    def __init__(self) -> None:
        self._reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        first = self._reserve()
        self._ports = itertools.cycle(range(first, first + PORTS_PER_PROCESS))
        self._lock = threading.Lock()

    def _reserve(self) -> int:
        for first in range(FIRST_PORT, LAST_PORT, PORTS_PER_PROCESS):
            try:
                self._reservation.bind(("127.0.0.1", first))
            except OSError:
                continue
            return first
        raise RuntimeError(f"all ports from {FIRST_PORT} to {LAST_PORT} are reserved")

    def take(self, count: int) -> list[int]:
        with self._lock:
            free = (port for port in self._next_round() if not is_taken(port))
            ports = list(itertools.islice(free, count))
        if len(ports) < count:
            raise RuntimeError(f"this process has {len(ports)} free ports left, not {count}")
        return ports

    def _next_round(self) -> Iterator[int]:
        return itertools.islice(self._ports, PORTS_PER_PROCESS)


@cache
def _reserved_ports() -> _ReservedPorts:
    return _ReservedPorts()
