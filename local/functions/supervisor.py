"""The process that owns the port and restarts the worker process.

A worker that dies after it was ready is replaced at once; clients whose requests it had get an
empty 500, and new connections wait for the next worker. The supervisor imports only the standard
library: the worker is forked from it and starts without modules of an app.
"""

import contextlib
import mmap
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

from local.functions.connections import MAX_CONNECTIONS, SupervisedConnections, WorkerConnections

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Lifeline(NamedTuple):
    """What a worker gets from its supervisor."""

    listener: socket.socket
    connections: WorkerConnections
    crashed_at: float | None  # when the worker before it died, in seconds since the epoch


class Supervisor:
    """Runs `work` in a process, and in a new one when that has died; it returns the exit code."""

    def __init__(self, listener: socket.socket, work: Callable[[Lifeline], int]) -> None:
        self.listener = listener
        self.work = work
        self._is_stopping = False
        self._worker = 0  # its process id
        self._is_ready = False
        self._is_waiting = mmap.mmap(-1, MAX_CONNECTIONS + 1)

    def run(self) -> int:
        """Returns the exit code when it was asked to stop, or when a worker did not start."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._stop)
        _raise_file_limit()
        crashed_at = None
        while True:
            self._is_ready = False
            connections = self._start_worker(crashed_at)
            connections.follow(self._note_ready)
            connections.control.close()
            _, status = os.waitpid(self._worker, 0)
            self._worker = 0
            crashed_at = time.time()
            code = os.waitstatus_to_exitcode(status)
            if self._is_stopping or not self._is_ready:
                return max(code, 1) if code else 0
            failed = connections.fail_waiting()
            print(
                f"The worker process ended with code {code}; {failed} requests got a 500. "
                "Starting another.",
                flush=True,
            )

    def _start_worker(self, crashed_at: float | None) -> SupervisedConnections:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        self._worker = os.fork()
        if self._worker == 0:
            ours.close()
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            connections = WorkerConnections(theirs, self._is_waiting)
            _run_and_exit(self.work, Lifeline(self.listener, connections, crashed_at))
        theirs.close()
        if self._is_stopping:  # a signal was received while there was no worker
            os.kill(self._worker, signal.SIGTERM)
        return SupervisedConnections(ours, self._is_waiting)

    def _note_ready(self) -> None:
        self._is_ready = True

    def _stop(self, number: int, _frame: object) -> None:
        self._is_stopping = True
        if self._worker:
            os.kill(self._worker, number)


def _raise_file_limit() -> None:
    """Each connection is a file in both processes; the usual limit of 1,024 is soon reached."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        allowed = 2 * MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _run_and_exit(work: Callable[[Lifeline], int], lifeline: Lifeline) -> None:
    """Runs in the worker process, which must not return into the supervisor's code."""
    code = 1
    try:
        code = work(lifeline)
    except BaseException:  # noqa: BLE001 - this is the last frame of the process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
