"""How many HTTP requests an instance handles at a time; further ones wait, in order.

Azure's Flex Consumption limits it for each instance (16 for this project); HTTP_CONCURRENCY is that
limit, and 0 means none. `maxConcurrentRequests` of host.json can make it smaller. With
`maxOutstandingRequests`, requests beyond that number get a 429.
https://learn.microsoft.com/azure/azure-functions/functions-concurrency
"""

import asyncio
import math
from collections import deque

from local.functions.errors import LoadError

DEFAULT_HTTP_CONCURRENCY = 16


class TooManyRequests(Exception):  # noqa: N818 - the name of its status
    """More requests run and wait than `maxOutstandingRequests`."""


class Concurrency:
    """A limit of concurrent requests: acquire or wait, then release."""

    def __init__(self, limit: float, outstanding: float = math.inf) -> None:
        self._limit = limit
        self._outstanding = outstanding
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def try_acquire(self) -> bool:
        """Whether the request may run now; else it has to wait. Raises TooManyRequests."""
        if self._running + len(self._waiting) >= self._outstanding:
            raise TooManyRequests
        if self._running < self._limit:
            self._running += 1
            return True
        return False

    async def wait(self) -> None:
        """Returns when the request may run."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(turn)
            else:
                self.release()
            raise

    def release(self) -> None:
        """Ends one request, and lets the longest waiting one run in its place."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1


def read_limit(text: str, max_concurrent_requests: int | None) -> float:
    """The limit from HTTP_CONCURRENCY and host.json. Raises LoadError."""
    if not (text.isascii() and text.isdigit()):
        raise LoadError(f"HTTP_CONCURRENCY is {text!r}; expected a number, or 0 for no limit")
    return min(int(text) or math.inf, max_concurrent_requests or math.inf)
