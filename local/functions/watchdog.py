"""functionTimeout: a function that runs too long ends the worker process, as in Azure.

All other invocations of that process end with it, and the supervisor starts another.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Iterable

from local.functions.invocations import Invocation

log = logging.getLogger(__name__)

TIMEOUT_EXIT_CODE = 124
MAX_CHECK_INTERVAL_SECONDS = 1.0


def watch(running: Iterable[Invocation], timeout_seconds: float) -> None:
    """Starts the check, in a thread of its own: a function may block the event loop."""
    if timeout_seconds != float("inf"):
        arguments = (running, timeout_seconds)
        threading.Thread(target=_check, args=arguments, daemon=True, name="watchdog").start()


def _check(running: Iterable[Invocation], timeout_seconds: float) -> None:
    interval = min(MAX_CHECK_INTERVAL_SECONDS, timeout_seconds / 10)
    while True:
        time.sleep(interval)
        oldest = time.monotonic() - timeout_seconds
        for invocation in _copy(running):
            if invocation.started_at < oldest:
                log.error(
                    "Timeout value of %g s (functionTimeout) exceeded by function %s: "
                    "ending the worker process",
                    timeout_seconds,
                    invocation.function_name,
                )
                sys.stdout.flush()
                os._exit(TIMEOUT_EXIT_CODE)


def _copy(running: Iterable[Invocation]) -> list[Invocation]:
    while True:
        try:
            return list(running)
        except RuntimeError:  # the event loop changed the set meanwhile
            continue
