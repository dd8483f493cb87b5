"""Instances that run streams, for each test of this folder."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from local.parts import Stack
from realtime.streams.definition import Stream, registry
from tests.streams.hosts import Host, make_stream, start_hosts


@pytest.fixture
async def start_host(stack: Stack) -> AsyncIterator[Callable[..., Host]]:
    """Start another instance, with the arguments of `Host`."""
    async with start_hosts(stack) as start:
        yield start


@pytest.fixture
def host(start_host: Callable[..., Host]) -> Host:
    """One instance."""
    return start_host()


@pytest.fixture
def listed() -> Iterator[Stream]:
    """A stream in the registry, like those of the producers."""
    stream = make_stream()
    registry.register(stream)
    yield stream
    registry.unregister(stream.name)
