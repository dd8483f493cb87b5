"""Requests as values, and how one definition becomes a method of both clients.

    class Users:
        @operation
        def is_online(self: Credentials, user_id: str) -> Request[bool]: ...

`Townsquare.is_online(user_id)` returns a bool, `AsyncTownsquare.is_online(user_id)` an awaitable of
one: the decorated function only describes the request.
"""

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload
from urllib.parse import quote

import msgspec

P = ParamSpec("P")
T = TypeVar("T")
Page = TypeVar("Page")

Parse = Callable[[bytes], T]


class Credentials(Protocol):
    """What the description of a request may depend on."""

    @property
    def has_key(self) -> bool:
        """Whether the client has a function key: it reads then what a server may read."""


@dataclass(frozen=True)
class Request(Generic[T]):
    """A request of the HTTP API, and how its response is parsed.

    A `repeatable` request has the same effect if it arrives twice, so it is sent again where an
    response is lost. `already_done` is the error code of a repetition whose first one succeeded.
    """

    method: str
    path: str
    parse: Parse[T]
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Any = None
    repeatable: bool = True
    already_done: str = ""


@dataclass(frozen=True)
class Pages(Generic[Page, T]):
    """Items that come in pages: the first request, and what follows a page."""

    first: Request[Page]
    items: Callable[[Page], Sequence[T]]
    following: Callable[[Page], Request[Page] | None]


class SyncTransport:
    """Sends requests and waits for the responses."""

    def call(self, request: Request[T]) -> T:
        """The parsed response. Raises TownsquareError."""
        raise NotImplementedError


class AsyncTransport:
    """The same on an event loop."""

    async def call(self, request: Request[T]) -> T:
        """The parsed response. Raises TownsquareError."""
        raise NotImplementedError


class operation(Generic[P, T]):  # noqa: N801 - a decorator
    """A method of both clients that sends one request."""

    def __init__(self, build: Callable[Concatenate[Any, P], Request[T]]) -> None:
        self._build = build
        functools.update_wrapper(self, build)  # type: ignore[arg-type]

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: SyncTransport, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, client: AsyncTransport, owner: type
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: SyncTransport | AsyncTransport | None, owner: type) -> Any:
        if client is None:
            return self

        @functools.wraps(self._build)
        def send(*args: P.args, **options: P.kwargs) -> Any:
            return client.call(self._build(client, *args, **options))

        return send


class paged_operation(Generic[P, Page, T]):  # noqa: N801 - a decorator
    """A method of both clients that iterates over pages, each requested when it is needed."""

    def __init__(self, build: Callable[Concatenate[Any, P], Pages[Page, T]]) -> None:
        self._build = build
        functools.update_wrapper(self, build)  # type: ignore[arg-type]

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: SyncTransport, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: AsyncTransport, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, client: SyncTransport | AsyncTransport | None, owner: type) -> Any:
        if client is None:
            return self

        @functools.wraps(self._build)
        def start(*args: P.args, **options: P.kwargs) -> Any:
            pages = self._build(client, *args, **options)
            if isinstance(client, AsyncTransport):
                return iterate_async(client, pages)
            return iterate_sync(client, pages)

        return start


def iterate_sync(client: SyncTransport, pages: Pages[Page, T]) -> Iterator[T]:
    request: Request[Page] | None = pages.first
    while request is not None:
        page = client.call(request)
        yield from pages.items(page)
        request = pages.following(page)


async def iterate_async(client: AsyncTransport, pages: Pages[Page, T]) -> AsyncIterator[T]:
    request: Request[Page] | None = pages.first
    while request is not None:
        page = await client.call(request)
        for item in pages.items(page):
            yield item
        request = pages.following(page)


def struct(kind: type[T]) -> Parse[T]:
    """Parses a body as a struct."""
    return msgspec.json.Decoder(kind).decode


def member(name: str, kind: type[T]) -> Parse[T]:
    """Parses one member of a JSON object."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    return lambda body: msgspec.convert(decode(body)[name], kind)


def nothing(body: bytes) -> None:
    """For responses without further information: they have JSON or no body."""
    if body:
        msgspec.json.decode(body)


def path(*parts: str | int) -> str:
    """The path of an API route; ids are escaped."""
    return "/api/" + "/".join(quote(str(part), safe="") for part in parts)


def without_none(**values: Any) -> dict[str, Any]:
    """The values that are given."""
    return {name: value for name, value in values.items() if value is not None}
