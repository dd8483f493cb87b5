"""A short part of the fault suite; `make faults` runs all of it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults import restored_tables  # noqa: F401 - it declares scenarios
from tests.faults.runner import run_scenario
from tests.faults.scenarios import SCENARIOS
from tests.faults.table import format_header, format_result
from tests.faults.world import World, open_world

SEED = 1
PACE = 0.4
"""The part of the messages that `make faults` sends in a second: they take most of the time."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with open_world(SEED) as world:
        yield world


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("kill-hosts", 8.0),
        ("storage-fails", 6.0),
        ("service-fails", 6.0),
        ("restore-tables", 9.0),
        ("cut-sockets", 8.0),
    ],
)
async def test_nothing_confirmed_is_lost_and_clients_have_what_is_stored(
    world: World, name: str, seconds: float
) -> None:
    result = await run_scenario(world, SCENARIOS[name], seconds, SEED, PACE)

    assert result.passed, f"\n{format_header()}\n{format_result(result)}"
    assert result.faults > 0
    assert result.confirmed > 20
