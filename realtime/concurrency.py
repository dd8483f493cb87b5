"""Helpers for concurrent I/O: a limit on parallel calls, and tasks that several callers share."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, TypeVar

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


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)


def has_failed(task: asyncio.Future[Any]) -> bool:
    """Whether a shared task ended with an error, so that the next caller starts a new one."""
    return task.done() and (task.cancelled() or task.exception() is not None)
