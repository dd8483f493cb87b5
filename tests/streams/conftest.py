"""Instances that run streams, for each test of this folder."""

from collections.abc import AsyncIterator, Callable

import pytest

from local.parts import Stack
from tests.streams.hosts import Host, start_hosts


@pytest.fixture
async def start_host(stack: Stack) -> AsyncIterator[Callable[..., Host]]:
    """Start another instance, with the arguments of `Host`."""
    async with start_hosts(stack) as start:
        yield start


@pytest.fixture
def host(start_host: Callable[..., Host]) -> Host:
    """One instance."""
    return start_host()
