"""The duplicate filter: handles an event once, also if Web PubSub delivers it again."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, TypeVar

from cachetools import LRUCache

from events.cloudevents import CloudEvent
from realtime.errors import ApiError

MAX_REMEMBERED_EVENTS = 2_000

T = TypeVar("T")


class DuplicateFilter:
    """At most once per (connection, event id) on this instance.

    An event that is delivered to another instance has one effect too: each handler is idempotent.
    """

    def __init__(self) -> None:
        self._tasks: LRUCache[tuple[str, str], asyncio.Future[Any]] = LRUCache(
            MAX_REMEMBERED_EVENTS
        )

    async def run(self, event: CloudEvent, handle: Callable[[], Awaitable[T]]) -> T:
        """The result of `handle`, or what it returned or raised for the first delivery."""
        key = (event.connection, event.id)
        task: asyncio.Future[T] | None = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.ensure_future(handle())
            task.add_done_callback(lambda done: self._drop_failed(key, done))
        return await asyncio.shield(task)

    def _drop_failed(self, key: tuple[str, str], done: "asyncio.Future[Any]") -> None:
        """A failed event is handled again: the service repeats it after 1, 3 and 5 s."""
        if done.cancelled() or not isinstance(done.exception(), ApiError | None):
            self._tasks.pop(key, None)


@cache
def duplicate_filter() -> DuplicateFilter:
    """The duplicate filter of this process."""
    return DuplicateFilter()
