"""Helpers for concurrent I/O: a limit on parallel calls, and tasks that several callers share."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

MAX_CONCURRENT_CALLS = 8
"""Calls to storage or service that one request or timer runs in parallel."""


async def gather_limited(awaitables: Iterable[Awaitable[T]]) -> list[T]:
    """The results in order; at most MAX_CONCURRENT_CALLS run at the same time."""
    slots = asyncio.Semaphore(MAX_CONCURRENT_CALLS)

    async def run(awaitable: Awaitable[T]) -> T:
        async with slots:
            return await awaitable

    return await asyncio.gather(*(run(one) for one in awaitables))


def has_failed(task: asyncio.Future[Any]) -> bool:
    """Whether a shared task ended with an error, so that the next caller starts a new one."""
    return task.done() and (task.cancelled() or task.exception() is not None)
