"""Helpers for concurrent I/O: a limit on parallel calls, and tasks that several callers share."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")

MAX_CONCURRENT_CALLS = 8
"""Calls to storage or service that one request or timer runs in parallel."""


async def gather_limited(awaitables: Iterable[Awaitable[T]]) -> list[T]:
    """The results in order; at most MAX_CONCURRENT_CALLS run at the same time.

    After an error, or if the caller is cancelled, no call goes on when this returns.
    """
    waiting = list(awaitables)
    slots = asyncio.Semaphore(MAX_CONCURRENT_CALLS)

    async def run(awaitable: Awaitable[T]) -> T:
        async with slots:
            return await awaitable

    tasks = [asyncio.create_task(run(one)) for one in waiting]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await _end(tasks)
        for one in waiting:
            if asyncio.iscoroutine(one):
                one.close()  # has no effect on one that has ended


async def gather_all(*calls: Awaitable[Any]) -> list[Any]:
    """The results of all calls, in order. Raises the error of the first in this order that failed.

    So the error does not depend on which call ends first, and checks can run at the same time.
    """
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)


def has_failed(task: asyncio.Future[Any]) -> bool:
    """Whether a shared task ended with an error, so that the next caller starts a new one."""
    return task.done() and (task.cancelled() or task.exception() is not None)


class SharedCalls(Generic[K, T]):
    """Calls that concurrent callers share, by key.

    A caller shares only a call that starts after it has asked. So the result is as new as that of
    a call of its own, and many callers at once cause few calls.
    """

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[T]] = {}
        self._next: dict[K, asyncio.Task[T]] = {}

    async def run(self, key: K, make_call: Callable[[], Awaitable[T]]) -> T:
        """The result of a call; all callers with one key have to pass an equal call."""
        if key not in self._next:
            following = self._run(key, make_call, self._running.get(key))
            self._next[key] = asyncio.create_task(following)
        return await asyncio.shield(self._next[key])

    async def _run(
        self, key: K, make_call: Callable[[], Awaitable[T]], previous: asyncio.Task[T] | None
    ) -> T:
        if previous is not None:
            await asyncio.wait([previous])
        self._running[key] = self._next.pop(key)  # further callers share the call after this one
        try:
            return await make_call()
        finally:
            if key not in self._next:
                self._running.pop(key, None)
