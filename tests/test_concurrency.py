"""Parallel calls: their limit, and what becomes of them after an error."""

import asyncio
import gc
import warnings
from collections.abc import Coroutine

import pytest

from realtime.concurrency import MAX_CONCURRENT_CALLS, gather_all, gather_limited


async def test_results_are_in_order_and_few_calls_run_at_once() -> None:
    running, most = 0, 0

    async def call(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return number

    assert await gather_limited(call(number) for number in range(50)) == list(range(50))
    assert most == MAX_CONCURRENT_CALLS
    assert await gather_limited([]) == []


async def test_calls_run_at_the_same_time_and_the_first_error_in_their_order_is_raised() -> None:
    second_failed = asyncio.Event()

    async def first() -> None:
        await second_failed.wait()
        raise ValueError("first")

    async def second() -> None:
        second_failed.set()
        raise ValueError("second")

    async with asyncio.timeout(20):
        with pytest.raises(ValueError, match="first"):
            await gather_all(first(), second())


@pytest.mark.parametrize("cancelled", [False, True])
async def test_after_an_error_or_a_cancellation_no_call_goes_on(*, cancelled: bool) -> None:
    started: list[int] = []
    ended: list[int] = []
    reached = asyncio.Event()

    async def call(number: int) -> None:
        started.append(number)
        try:
            if number == 3 and not cancelled:
                raise ValueError
            reached.set()
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    calls: list[Coroutine[None, None, None]] = [call(number) for number in range(30)]
    gc.collect()  # what earlier tests have left may warn
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a coroutine that nobody awaited is one
        task = asyncio.create_task(gather_limited(calls))
        if cancelled:
            await reached.wait()
            task.cancel()
        with pytest.raises(asyncio.CancelledError if cancelled else ValueError):
            await task
        calls.clear()
        gc.collect()

    assert sorted(ended) == sorted(started)
    assert len(started) <= MAX_CONCURRENT_CALLS + 1  # the one that failed made place for another
