"""The duplicate filter: handles an event once, also if Web PubSub delivers it again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Protocol, TypeVar

from cachetools import TTLCache

from events.cloudevents import CloudEvent

OUTCOME_CACHE_SECONDS = 120.0
"""How long an outcome is cached: the service tries for at most 100 s to deliver an event."""

MAX_CACHE_BYTES = 4 * 1024 * 1024
"""The most bytes of all cached outcomes; the least recently used one is dropped first."""

MAX_OUTCOME_BYTES = 4 * 1024
"""A larger outcome is not cached: it is a roster or a history page, and a repeated join reads
them again."""

ENTRY_OVERHEAD_BYTES = 512
"""What an entry costs beside its outcome: two keys, links and objects of the cache."""


class Outcome(Protocol):
    """The outcome of an event."""

    @property
    def cacheable(self) -> bool:
        """False for a rejected event: a repeated one is checked again."""

    @property
    def size(self) -> int:
        """The bytes that it holds."""


T = TypeVar("T", bound=Outcome)


class DuplicateFilter:
    """At most once per (connection, event id) on this instance.

    A delivery that comes while another is handled waits for its outcome. An event that is delivered
    to another instance, or after its outcome was dropped, has one effect too: each handler is
    idempotent.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._running: dict[tuple[str, str], asyncio.Future[Any]] = {}
        self._outcomes: TTLCache[tuple[str, str], Outcome] = TTLCache(
            MAX_CACHE_BYTES,
            OUTCOME_CACHE_SECONDS,
            timer=clock,
            getsizeof=lambda outcome: outcome.size + ENTRY_OVERHEAD_BYTES,
        )

    @property
    def cached_bytes(self) -> int:
        """The bytes of all cached outcomes."""
        self._outcomes.expire()
        return int(self._outcomes.currsize)

    async def run(self, event: CloudEvent, handle: Callable[[], Awaitable[T]]) -> T:
        """The outcome of `handle`, or that of an earlier delivery."""
        key = (event.connection, event.id)
        cached: Any = self._outcomes.get(key)
        if cached is not None:
            outcome: T = cached
            return outcome
        if key in self._running:
            running: asyncio.Future[T] = self._running[key]
            return await asyncio.shield(running)
        return await self._handle(key, handle)

    async def _handle(self, key: tuple[str, str], handle: Callable[[], Awaitable[T]]) -> T:
        running = self._running[key] = asyncio.get_running_loop().create_future()
        try:
            outcome = await handle()
        except asyncio.CancelledError:
            running.cancel()
            raise
        except BaseException as error:
            running.set_exception(error)
            running.exception()  # Nobody else may wait for it.
            raise
        finally:
            del self._running[key]
        running.set_result(outcome)
        if outcome.cacheable and outcome.size <= MAX_OUTCOME_BYTES:
            self._outcomes[key] = outcome
        return outcome


@cache
def duplicate_filter() -> DuplicateFilter:
    """The duplicate filter of this process."""
    return DuplicateFilter()
