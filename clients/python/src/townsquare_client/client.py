"""The two clients: they send requests with httpx, one on an event loop, one without."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from copy import copy
from itertools import count
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec

from townsquare_client.drivers import drive, drive_async
from townsquare_client.errors import InvalidAddressError
from townsquare_client.listener import listen_steps
from townsquare_client.log_reader import Position, RoomEvent
from townsquare_client.operations import AsyncTransport, Request, SyncTransport
from townsquare_client.retry import Result, RetryPolicy
from townsquare_client.rooms import Rooms
from townsquare_client.streams import Streams
from townsquare_client.users import Users

T = TypeVar("T")

TIMEOUT_SECONDS = 15.0
RETRIES = 3
MAX_PORT = 65_535


class _Api(Rooms, Users, Streams):
    """The operations of both clients, the address and the credentials."""

    def __init__(
        self, url: str, key: str, session: str, policy: RetryPolicy, *, owns_http: bool
    ) -> None:
        self.url: str = url.rstrip("/")
        _parse_address(self.url)
        self._key = key
        self._session = session
        self._policy = policy
        self._owns_http = owns_http

    @property
    def has_key(self) -> bool:
        return bool(self._key)

    def with_session(self, session: str) -> Self:
        """A client of another user on the same connections, without the key."""
        client = copy(self)
        client._key, client._session = "", session  # noqa: SLF001 - a copy of this client
        client._owns_http = False  # noqa: SLF001
        return client

    def _encode(self, request: Request[Any]) -> dict[str, Any]:
        """The arguments of httpx's `request`."""
        headers = {"Accept": "application/json"}
        if self._key:
            headers["x-functions-key"] = self._key
        if self._session:
            headers["Authorization"] = f"Bearer {self._session}"
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        return {
            "method": request.method,
            "url": _parse_address(f"{self.url}{request.path}", request.query),
            "headers": headers,
            "content": None if request.body is None else msgspec.json.encode(request.body),
        }


class Townsquare(_Api, SyncTransport):
    """A client without an event loop; threads may share it, and with it the connections.

    `key` is a function key of the app, `session` a session that proves a user or an operator. A
    request has a timeout in seconds and is repeated `retries` times where that is safe.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        session: str = "",
        timeout: float = TIMEOUT_SECONDS,
        retries: int = RETRIES,
        http: httpx.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(url, key, session, RetryPolicy(retries, chance), owns_http=http is None)
        self._http = http or httpx.Client(timeout=timeout)
        self._sleep = sleep

    def call(self, request: Request[T]) -> T:
        """Send a request. Raises TownsquareError."""
        for attempt in count():
            outcome: httpx.Response | httpx.RequestError
            try:
                outcome = self._http.request(**self._encode(request))
            except httpx.RequestError as error:
                outcome = error
            decided = self._policy.decide(request, outcome, attempt)
            if isinstance(decided, Result):
                return decided.value
            self._sleep(decided)
        raise AssertionError

    def listen(
        self,
        room: str,
        user_id: str = "",
        *,
        name: str = "",
        after: Position | None = None,
    ) -> Iterator[RoomEvent]:
        """Iterate over the messages and changes of a room as they come; each comes once, in order.

        With a key, a session for `user_id` is minted; without, the client's session is used. With
        the position of the last event as `after` the iteration continues behind it; without one it
        starts at the end of the log. Needs the packages of `townsquare-client[listen]`.
        """
        steps = listen_steps(self, room, user_id, name, after, self._policy.delay)
        return drive(self, steps, self._sleep)

    def close(self) -> None:
        """Close the connections, unless they were given."""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncTownsquare(_Api, AsyncTransport):
    """The same client on an event loop: its methods are awaited, its iterators asynchronous."""

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        session: str = "",
        timeout: float = TIMEOUT_SECONDS,
        retries: int = RETRIES,
        http: httpx.AsyncClient | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(url, key, session, RetryPolicy(retries, chance), owns_http=http is None)
        self._http = http or httpx.AsyncClient(timeout=timeout)
        self._sleep = sleep

    async def call(self, request: Request[T]) -> T:
        """Send a request. Raises TownsquareError."""
        for attempt in count():
            outcome: httpx.Response | httpx.RequestError
            try:
                outcome = await self._http.request(**self._encode(request))
            except httpx.RequestError as error:
                outcome = error
            decided = self._policy.decide(request, outcome, attempt)
            if isinstance(decided, Result):
                return decided.value
            await self._sleep(decided)
        raise AssertionError

    def listen(
        self,
        room: str,
        user_id: str = "",
        *,
        name: str = "",
        after: Position | None = None,
    ) -> AsyncIterator[RoomEvent]:
        """Iterate over the messages and changes of a room: see `Townsquare.listen`."""
        steps = listen_steps(self, room, user_id, name, after, self._policy.delay)
        return drive_async(self, steps, self._sleep)

    async def close(self) -> None:
        """Close the connections, unless they were given."""
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _parse_address(address: str, query: Mapping[str, str | int] | None = None) -> httpx.URL:
    """The address of an app or of a request. Raises InvalidAddressError."""
    expected = "Expected an address like https://townsquare.example.org"
    try:
        url = httpx.URL(address, params=query)
    except httpx.InvalidURL as error:
        raise InvalidAddressError(f"{expected}: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise InvalidAddressError(f"{expected}, got {address!r}")
    if url.port is not None and url.port > MAX_PORT:
        raise InvalidAddressError(f"{expected}: {url.port} is not a port")
    return url
