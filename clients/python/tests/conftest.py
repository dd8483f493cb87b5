"""Both clients against the running app, which asks for function keys."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import pytest
from townsquare_client import AsyncTownsquare, Townsquare

from local.parts import Part
from tests.conftest import http, one, room, stack, strict
from tests.strict import KEY

__all__ = ["http", "one", "room", "stack", "strict"]


class Blocking:
    """An AsyncTownsquare whose methods are called like those of Townsquare."""

    def __init__(self, runner: asyncio.Runner, client: AsyncTownsquare) -> None:
        self._runner = runner
        self._client = client

    def with_session(self, session: str) -> "Blocking":
        return Blocking(self._runner, self._client.with_session(session))

    def close(self) -> None:
        self._runner.run(self._client.close())

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **options: Any) -> Any:
            result = method(*args, **options)
            if isinstance(result, Coroutine):
                return self._runner.run(result)
            return self._iterate(result)

        return call

    def _iterate(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        async def find_next() -> list[Any]:
            return [item async for item in _first(items)]

        while found := self._runner.run(find_next()):
            yield from found


async def _first(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    try:
        yield await anext(items)
    except StopAsyncIteration:
        return


@pytest.fixture(params=["sync", "async"])
def townsquare(request: pytest.FixtureRequest, strict: Part) -> Iterator[Townsquare]:
    """The client of a server, once of each kind."""
    if request.param == "sync":
        with Townsquare(strict.url, key=KEY) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        blocking: Any = Blocking(runner, AsyncTownsquare(strict.url, key=KEY))
        yield blocking
        blocking.close()
