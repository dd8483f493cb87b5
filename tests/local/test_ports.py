"""Free ports: no two processes get the same, and none is given while it is in use."""

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.parts import ROOT
from local.ports import FIRST_PORT, LAST_PORT, PORTS_PER_PROCESS, free_ports, is_taken

OTHER = "from local.ports import free_ports; print(*free_ports(90), flush=True); input()"


def test_ports_of_processes_that_run_at_the_same_time_differ() -> None:
    others = [
        subprocess.Popen(
            [sys.executable, "-c", OTHER],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    try:
        printed = [other.stdout.readline() for other in others if other.stdout is not None]
        ports = [int(port) for line in printed for port in line.split()]
        ports += free_ports(PORTS_PER_PROCESS // 2)
    finally:
        for other in others:
            other.communicate("\n", timeout=30)

    assert len(set(ports)) == len(ports) == 3 * 90 + PORTS_PER_PROCESS // 2
    assert FIRST_PORT <= min(ports) <= max(ports) <= LAST_PORT


def test_a_port_in_use_is_left_out() -> None:
    (taken,) = free_ports(1)
    with _listen(taken):
        assert taken not in free_ports(PORTS_PER_PROCESS - 10)


def test_a_port_whose_server_closed_a_connection_a_moment_ago_is_free() -> None:
    (port,) = free_ports(1)
    with _listen(port) as server, socket.create_connection(("127.0.0.1", port)) as client:
        server.accept()[0].close()  # The server's side closes first: TIME_WAIT is at its port.
        assert client.recv(1) == b""

    assert not is_taken(port)
    _listen(port).close()


def _listen(port: int) -> socket.socket:
    # As servers do: a closed connection of an earlier test (TIME_WAIT) is no obstacle.
    return socket.create_server(("127.0.0.1", port))


def test_more_ports_than_a_process_has_are_refused() -> None:
    with pytest.raises(RuntimeError, match="free ports left"):
        free_ports(PORTS_PER_PROCESS + 1)


def test_threads_get_different_ports() -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(free_ports, [1] * 60))

    assert len({port for ports in found for port in ports}) == 60
