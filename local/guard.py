"""Ends processes whose parent has died without ending them, killed or crashed.

The parent starts it with a pipe to its standard input and writes a line for each process: "+PID"
when it starts and "-PID" when it has ended. When the pipe closes, the parent has ended.
"""

import contextlib
import os
import signal
import sys
import time

STOP_TIMEOUT_SECONDS = 8.0
POLL_SECONDS = 0.05


def main() -> None:
    """Returns when nothing is left to end."""
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    _signal(groups, signal.SIGINT)  # on this one Azurite saves its tables
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while _signal(groups, 0) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    _signal(groups, signal.SIGKILL)


def _signal(groups: set[int], number: int) -> bool:
    """Sends a signal to the process groups; whether any of them is still there."""
    found = False
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
            found = True
    return found


if __name__ == "__main__":
    main()
