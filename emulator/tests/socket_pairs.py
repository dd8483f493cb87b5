"""TCP connections within the test."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

RECEIVE_TIMEOUT_SECONDS = 20

Pair = tuple[socket.socket, socket.socket]


@contextmanager
def connect_pairs(count: int) -> Iterator[list[Pair]]:
    """Connections; of each the client's end, and the server's end, which never blocks."""
    with ExitStack() as ends:
        with socket.create_server(("127.0.0.1", 0), backlog=count) as server:
            pairs = []
            for _ in range(count):
                client = socket.create_connection(server.getsockname(), RECEIVE_TIMEOUT_SECONDS)
                accepted, _ = server.accept()
                accepted.settimeout(0)
                pairs.append((ends.enter_context(client), ends.enter_context(accepted)))
        yield pairs
