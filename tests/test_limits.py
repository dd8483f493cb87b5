"""Rate limits and connection limits, for each user and each address."""

import asyncio
import contextlib
import itertools
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from events.rejections import MAX_REJECTIONS_PER_MINUTE
from local.parts import Part, Stack
from realtime.errors import ApiError
from realtime.rate_limit import MAX_BUCKETS, RateLimiter
from tests.clock import Clock
from tests.service import Service, new_connection
from tests.strict import (
    CONNECTIONS_PER_USER,
    CONNECTS_AT_ONCE,
    GUESTS_AT_ONCE,
    JOINS_AT_ONCE,
    KEY,
    MESSAGES_AT_ONCE,
    NEGOTIATES_AT_ONCE,
)
from tests.users import User

SECOND_MS = 1000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(strict: Part, http: aiohttp.ClientSession) -> Service:
    return Service(http, strict.url, KEY)


def acquire(limit: RateLimiter, user: str = "ann") -> int | None:
    """The milliseconds to wait before a retry; None when the request was allowed."""
    try:
        limit.acquire(user)
    except ApiError as error:
        return error.retry_after_ms
    return None


def test_a_rate_limited_error_allows_a_retry(clock: Clock) -> None:
    limit = RateLimiter("messages", 6, clock=clock)
    limit.acquire("ann")

    with pytest.raises(ApiError) as refused:
        limit.acquire("ann")

    assert (refused.value.code, refused.value.status) == ("rate_limited", 429)
    assert refused.value.retry


def test_a_burst_of_ten_is_allowed_and_then_one_a_second(clock: Clock) -> None:
    limit = RateLimiter("messages", 60, clock=clock)

    assert [acquire(limit) for _ in range(10)] == [None] * 10
    assert acquire(limit) == SECOND_MS + 1
    clock.time += 0.999
    assert acquire(limit) is not None
    clock.time += 0.001
    assert acquire(limit) is None
    assert acquire(limit) is not None


def test_the_next_request_is_allowed_after_the_returned_wait(clock: Clock) -> None:
    limit = RateLimiter("messages", 7, clock=clock)
    while (wait := acquire(limit)) is None:
        pass

    clock.time += wait / 1000

    assert acquire(limit) is None


def test_a_minute_allows_the_limit_plus_the_burst(clock: Clock) -> None:
    limit = RateLimiter("messages", 60, clock=clock)
    allowed = 0

    for _ in range(6000):
        allowed += acquire(limit) is None
        clock.time += 0.01

    assert allowed == 10 + 59  # The 60th is allowed at the end of the minute.


def test_rejected_requests_do_not_lengthen_the_wait(clock: Clock) -> None:
    limit = RateLimiter("messages", 60, clock=clock)

    waits = [acquire(limit) for _ in range(100)]

    assert waits[10:] == [SECOND_MS + 1] * 90


def test_each_user_has_a_separate_limit(clock: Clock) -> None:
    limit = RateLimiter("messages", 60, clock=clock)
    while acquire(limit, "ann") is None:
        pass

    assert acquire(limit, "bob") is None


def test_zero_disables_the_limit(clock: Clock) -> None:
    limit = RateLimiter("messages", 0, clock=clock)

    assert [acquire(limit) for _ in range(1000)] == [None] * 1000
    assert limit.try_acquire("ann")


def test_the_number_of_buckets_is_bounded(clock: Clock) -> None:
    limit = RateLimiter("messages", 60, clock=clock)

    for number in range(3 * MAX_BUCKETS):
        acquire(limit, str(number))

    assert len(limit) <= MAX_BUCKETS


async def test_a_sender_above_the_limit_receives_the_wait(service: Service) -> None:
    numbers = itertools.count()

    async def send(user: str) -> tuple[str | None, int | None]:
        message = {"room": "limits", "content": "hello", "id": str(next(numbers))}
        response = await service.send_event("message", message, user=user, rooms=["limits"])
        error = response.json or {}
        return error.get("code"), error.get("retry_after_ms")

    # The room does not exist: a later check rejects these messages too, with another code.
    first = [await send("ann-22222222") for _ in range(MESSAGES_AT_ONCE)]
    code, wait = await send("ann-22222222")
    other, _ = await send("bob-22222222")

    assert "rate_limited" not in {code for code, _ in first}
    assert code == "rate_limited"
    assert wait is not None
    assert 0 < wait <= SECOND_MS + 1
    assert other != "rate_limited"


async def test_joins_above_the_limit_are_rejected(service: Service) -> None:
    async def join(user: str) -> str | None:
        return (await service.send_event("join", {"room": "limits"}, user=user)).code

    first = [await join("ann-33333333") for _ in range(JOINS_AT_ONCE)]

    assert first == ["unknown_room"] * JOINS_AT_ONCE
    assert await join("ann-33333333") == "rate_limited"
    assert await join("bob-33333333") == "unknown_room"


async def test_read_events_above_the_limit_are_rejected(service: Service) -> None:
    read = {"to": "bob-22222222", "seq": 0}

    codes = [(await service.send_event("read", read, user="ann-44444444")).code for _ in range(40)]

    assert codes[0] == "not_in_room"
    assert codes[-1] == "rate_limited"


async def test_guests_of_one_address_are_limited_above_a_burst(
    strict: Part, http: aiohttp.ClientSession
) -> None:
    async def negotiate(address: str) -> tuple[int, int]:
        headers = {"X-Forwarded-For": f"{address}:4711"}
        async with http.post(f"{strict.url}/api/negotiate", headers=headers) as response:
            return response.status, int(response.headers.get("Retry-After", 0))

    first = await asyncio.gather(*(negotiate("192.0.2.1") for _ in range(GUESTS_AT_ONCE)))
    more = await asyncio.gather(*(negotiate("192.0.2.1") for _ in range(2 * GUESTS_AT_ONCE)))

    assert first == [(200, 0)] * GUESTS_AT_ONCE
    waits = [wait for status, wait in more if status == 429]
    assert len(waits) > GUESTS_AT_ONCE
    assert len(set(waits)) > 1  # clients do not all retry at the same time
    assert await negotiate("192.0.2.2") == (200, 0)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_cross_site_request_without_preflight_creates_no_guest(
    stack: Stack, http: aiohttp.ClientSession, site: str
) -> None:
    headers = {"Sec-Fetch-Site": site}
    url = f"{stack.url}/api/negotiate"

    async def ask(method: str, **options: Any) -> int:
        sent = headers | options.pop("headers", {})
        async with http.request(method, url, headers=sent, **options) as response:
            return response.status

    assert await ask("GET") == 403
    assert await ask("POST", data=b"{}", headers={"Content-Type": "text/plain"}) == 403
    assert await ask("POST", json={}) == 200  # a browser sends this only after a preflight request
    ann = await User.create(http, stack.url, "ann")
    assert await ask("GET", headers={"Authorization": f"Bearer {ann.session}"}) == 200


# --- connections ----------------------------------------------------------------------------


async def test_a_user_has_a_limited_number_of_connections(
    strict: Part, http: aiohttp.ClientSession, stack: Stack
) -> None:
    """The service delivers events to the stack's app; `strict` lists the same connections."""
    ann = await User.create(http, stack.url, "ann")
    service = Service(http, strict.url, KEY)

    async with AsyncExitStack() as tabs:
        for _ in range(CONNECTIONS_PER_USER - 1):
            await tabs.enter_async_context(ann.connect())
        last = await service.send_system_event("connect", user=ann.id)
        refused = await service.send_system_event("connect", user=ann.id)
        other = await service.send_system_event("connect", user="bob-55555555")

    assert (last.status, other.status) == (200, 200)
    assert (refused.status, refused.code) == (429, "too_many_connections")


async def test_concurrent_connects_are_limited(service: Service) -> None:
    responses = await asyncio.gather(
        *(
            service.send_system_event("connect", user="ann-55555555")
            for _ in range(CONNECTS_AT_ONCE)
        )
    )

    assert sum(one.status == 200 for one in responses) == CONNECTIONS_PER_USER
    assert {one.code for one in responses if one.status != 200} <= {
        "too_many_connections",
        "rate_limited",
    }


async def test_a_closed_connection_frees_its_place(service: Service) -> None:
    connections = [new_connection() for _ in range(CONNECTIONS_PER_USER)]
    for one in connections:
        await service.send_system_event("connect", user="ann-66666666", connection=one)

    before = await service.send_system_event("connect", user="ann-66666666")
    await service.send_system_event("disconnected", user="ann-66666666", connection=connections[0])
    after = await service.send_system_event("connect", user="ann-66666666")

    assert (before.status, after.status) == (429, 200)


async def test_connects_above_the_limit_are_rejected(service: Service) -> None:
    async def connect() -> str | None:
        connection = new_connection()
        response = await service.send_system_event(
            "connect", user="ann-77777777", connection=connection
        )
        await service.send_system_event("disconnected", user="ann-77777777", connection=connection)
        return response.code

    codes = [await connect() for _ in range(3 * CONNECTS_AT_ONCE)]

    assert codes[: CONNECTS_AT_ONCE - 1] == [None] * (CONNECTS_AT_ONCE - 1)
    assert "rate_limited" in codes


# --- rejected events --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "data"),
    [
        ("shout", {}),
        ("read", {"room": "elsewhere", "seq": 1}),
        ("message", {"room": "elsewhere", "content": "hello", "id": "1"}),
        ("typing", {"room": "ROOM"}),
    ],
)
async def test_a_connection_with_too_many_rejected_events_is_closed(
    ann: User, bob: User, room: str, event: str, data: dict[str, Any]
) -> None:
    data = {name: room if value == "ROOM" else value for name, value in data.items()}
    async with ann.connect(room) as rejected, bob.connect(room) as other:

        async def send_all() -> None:
            for _ in range(2 * MAX_REJECTIONS_PER_MINUTE):
                await rejected.send(event, data)

        sending = asyncio.create_task(send_all())
        await asyncio.wait_for(rejected.closed(), 60)
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await sending
        await other.send_message(room, "still here")
        assert len(rejected.received) > MAX_REJECTIONS_PER_MINUTE


async def test_a_request_with_a_session_is_limited_by_user_and_not_by_address(
    strict: Part, http: aiohttp.ClientSession
) -> None:
    headers = {"X-Forwarded-For": "192.0.2.3:4711"}
    async with http.get(f"{strict.url}/api/negotiate", headers=headers) as response:
        session = (await response.json())["session"]

    async def again(address: str) -> int:
        known = {"Authorization": f"Bearer {session}", "X-Forwarded-For": address}
        async with http.get(f"{strict.url}/api/negotiate", headers=known) as response:
            return response.status

    statuses = [await again(f"192.0.2.{n}") for n in range(10, 10 + NEGOTIATES_AT_ONCE + 1)]

    assert statuses == [200] * NEGOTIATES_AT_ONCE + [429]
