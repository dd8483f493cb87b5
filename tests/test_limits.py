"""Limits: who does too much waits, and nobody else does."""

import itertools
import time

import aiohttp
import pytest

from local.parts import Part
from realtime.errors import ApiError
from realtime.rate_limit import MAX_BUCKETS, RateLimiter
from tests.service import Service
from tests.strict import JOINS_AT_ONCE, KEY, MESSAGES_AT_ONCE, NEGOTIATES_AT_ONCE

A_SECOND = 1000


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(strict: Part, http: aiohttp.ClientSession) -> Service:
    return Service(http, strict.url, KEY)


def spent(limit: RateLimiter, person: str = "ann") -> int | None:
    """The milliseconds after which to try again; None when it was allowed."""
    try:
        limit.acquire(person)
    except ApiError as refused:
        return refused.retry_after_ms
    return None


def test_a_refusal_says_that_trying_again_helps(clock: Clock) -> None:
    limit = RateLimiter("messages", 6, clock=clock)
    limit.acquire("ann")

    with pytest.raises(ApiError) as refused:
        limit.acquire("ann")

    assert (refused.value.code, refused.value.status) == ("rate_limited", 429)
    assert refused.value.retry


def test_ten_at_once_and_then_one_a_second(clock: Clock) -> None:
    limit = RateLimiter("messages", 60, clock=clock)

    assert [spent(limit) for _ in range(10)] == [None] * 10
    assert spent(limit) == A_SECOND + 1
    clock.time += 0.999
    assert spent(limit) is not None
    clock.time += 0.001
    assert spent(limit) is None
    assert spent(limit) is not None


def test_after_the_time_it_names_the_next_one_is_allowed(clock: Clock) -> None:
    limit = RateLimiter("messages", 7, clock=clock)
    while (wait := spent(limit)) is None:
        pass

    clock.time += wait / 1000

    assert spent(limit) is None


def test_in_a_minute_no_more_than_the_limit_and_what_may_come_at_once(clock: Clock) -> None:
    limit = RateLimiter("messages", 60, clock=clock)
    allowed = 0

    for _ in range(6000):
        allowed += spent(limit) is None
        clock.time += 0.01

    assert allowed == 10 + 59  # The sixtieth comes with the end of the minute.


def test_trying_in_vain_costs_nothing_more(clock: Clock) -> None:
    limit = RateLimiter("messages", 60, clock=clock)

    waits = [spent(limit) for _ in range(100)]

    assert waits[10:] == [A_SECOND + 1] * 90


def test_everybody_has_their_own(clock: Clock) -> None:
    limit = RateLimiter("messages", 60, clock=clock)
    while spent(limit, "ann") is None:
        pass

    assert spent(limit, "bob") is None


def test_zero_is_no_limit(clock: Clock) -> None:
    limit = RateLimiter("messages", 0, clock=clock)

    assert [spent(limit) for _ in range(1000)] == [None] * 1000
    assert limit.try_acquire("ann")


def test_a_crowd_of_new_names_cannot_fill_the_memory(clock: Clock) -> None:
    limit = RateLimiter("messages", 60, clock=clock)
    begin = time.perf_counter()

    for number in range(3 * MAX_BUCKETS):
        spent(limit, str(number))

    assert len(limit) <= MAX_BUCKETS
    assert time.perf_counter() - begin < 2


async def test_who_says_too_much_is_told_when_to_go_on(service: Service) -> None:
    numbers = itertools.count()

    async def say(user: str) -> tuple[str | None, int | None]:
        said = {"room": "limits", "content": "hello", "id": str(next(numbers))}
        answered = await service.says("message", said, user=user, rooms=["limits"])
        refusal = answered.json or {}
        return refusal.get("code"), refusal.get("retry_after_ms")

    # `limits` was never made: refused as well, but by another check, which comes after.
    first = [await say("ann-22222222") for _ in range(MESSAGES_AT_ONCE)]
    code, wait = await say("ann-22222222")
    other, _ = await say("bob-22222222")

    assert "rate_limited" not in {code for code, _ in first}
    assert code == "rate_limited"
    assert wait is not None
    assert 0 < wait <= A_SECOND + 1
    assert other != "rate_limited"


async def test_who_joins_too_often_waits(service: Service) -> None:
    async def join(user: str) -> str | None:
        return (await service.says("join", {"room": "limits"}, user=user)).code

    first = [await join("ann-33333333") for _ in range(JOINS_AT_ONCE)]

    assert first == ["unknown_room"] * JOINS_AT_ONCE
    assert await join("ann-33333333") == "rate_limited"
    assert await join("bob-33333333") == "unknown_room"


async def test_who_reads_too_often_waits(service: Service) -> None:
    read = {"to": "bob-22222222", "seq": 0}

    codes = [(await service.says("read", read, user="ann-44444444")).code for _ in range(40)]

    assert codes[0] == "not_in_room"
    assert codes[-1] == "rate_limited"


async def test_who_comes_in_too_often_waits(strict: Part, http: aiohttp.ClientSession) -> None:
    async def enter(address: str) -> tuple[int, str | None]:
        headers = {"X-Forwarded-For": f"{address}:4711"}
        async with http.get(f"{strict.url}/api/negotiate", headers=headers) as answer:
            return answer.status, answer.headers.get("Retry-After")

    first = [await enter("192.0.2.1") for _ in range(NEGOTIATES_AT_ONCE)]

    assert first == [(200, None)] * NEGOTIATES_AT_ONCE
    assert await enter("192.0.2.1") == (429, "1")
    assert await enter("192.0.2.2") == (200, None)


async def test_who_has_a_session_is_counted_by_it_and_not_by_the_address(
    strict: Part, http: aiohttp.ClientSession
) -> None:
    headers = {"X-Forwarded-For": "192.0.2.3:4711"}
    async with http.get(f"{strict.url}/api/negotiate", headers=headers) as answer:
        session = (await answer.json())["session"]

    async def again(address: str) -> int:
        known = {"Authorization": f"Bearer {session}", "X-Forwarded-For": address}
        async with http.get(f"{strict.url}/api/negotiate", headers=known) as answer:
            return answer.status

    statuses = [await again(f"192.0.2.{n}") for n in range(10, 10 + NEGOTIATES_AT_ONCE + 1)]

    assert statuses == [200] * NEGOTIATES_AT_ONCE + [429]
