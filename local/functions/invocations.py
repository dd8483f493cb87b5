"""The invocations that run now, and to which of them the running code belongs.

Azure forwards a log line only while the invocation that it belongs to is running. Code belongs to
the invocation whose task it runs in, or in which its task was created; a synchronous function
belongs to its own in the thread that it runs in. Callbacks of the loop, other threads and
`asyncio.to_thread` belong to none.
"""

import asyncio
import threading
import time
import uuid
from contextvars import ContextVar


class Invocation:
    """One call of a function."""

    __slots__ = ("_id", "function_name", "is_running", "started_at")

    def __init__(self, function_name: str) -> None:
        self.function_name = function_name
        self.is_running = True
        self.started_at = time.monotonic()
        self._id = ""

    @property
    def id(self) -> str:
        """Generated at its first use: most functions never read it."""
        if not self._id:
            self._id = str(uuid.uuid4())
        return self._id


of_task: ContextVar[Invocation | None] = ContextVar("invocation", default=None)
of_thread = threading.local()


def find_current() -> Invocation | None:
    """The invocation that the calling code belongs to; it may have ended."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        task = None
    if task is not None:
        return of_task.get()
    found: Invocation | None = getattr(of_thread, "invocation", None)
    return found
