"""What tests share: the whole stack, started once."""

import uuid
from collections.abc import AsyncIterator, Generator, Iterator

import aiohttp
import pytest

from local.other_parts import UnsupportedOptionError
from local.parts import (
    ACCESS_KEY,
    Part,
    Ports,
    Stack,
    environment_of,
    free_ports,
    start_stack,
    start_tables,
)
from tests import logs
from tests.instances import Instance, instance
from tests.strict import start_strict
from tests.users import User

# Beside these, the app runs with the values of local.settings.json.example.
SETTINGS = {
    "METRICS_SCHEDULE": "* * * * * *",  # a first tick is soon there
    "WEATHER_SCHEDULE": "0 0 0 1 1 *",  # no test asks the world for its weather
    "ALLOWED_ORIGINS": "",  # tests/page/test_cross_origin.py has an instance with some
    # Tests are faster than people; the limits themselves are tested on a host of their own.
    "MESSAGES_PER_MINUTE": "60000",
    "JOINS_PER_MINUTE": "60000",
    "NEGOTIATES_PER_MINUTE": "60000",
    "GUESTS_PER_MINUTE": "60000",
    "CONNECTIONS_PER_USER": "1000",
    "CONNECTS_PER_MINUTE": "60000",
}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All parts on free ports, keeping nothing: the app, the emulator and the tables.

    When all tests have run, nothing private of what they said may stand in the logs.
    """
    stack = start_stack(
        Ports.free(),
        tmp_path_factory.mktemp("stack"),
        keep=False,
        settings=SETTINGS,
        listener=logs.lines.append,
    )
    try:
        stack.wait()
        yield stack
    finally:
        stack.stop()
    assert logs.find_leaks(logs.lines) == []
    assert [line for line in logs.lines if "undeclared error" in line] == []
    # The emulator announces its key when it starts, as Microsoft's own does.
    assert logs.find_leaks(stack.webpubsub.output, besides=frozenset({ACCESS_KEY})) == []


@pytest.fixture(scope="session")
def strict(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Part]:
    """One more instance of the app beside the stack's, with all its rules on."""
    part = start_strict(stack, tmp_path_factory.mktemp("strict"))
    try:
        part.wait()
        yield part
    finally:
        part.stop()


@pytest.fixture(scope="session")
def separate_tables() -> Iterator[str]:
    """The connection string of tables that the stack's timers do not reach.

    Presence that a test stores for a service of its own belongs here: the stack's reconciling timer
    would find its connections missing in the stack's service, and remove it.
    """
    part = start_tables(*free_ports(1))
    try:
        part.wait()
        yield environment_of("", part.url)["TABLES_CONNECTION_STRING"]
    finally:
        part.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client without a limit of its own."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


@pytest.fixture
async def ann(stack: Stack, http: aiohttp.ClientSession) -> User:
    return await User.create(http, stack.url, "ann")


@pytest.fixture
async def bob(stack: Stack, http: aiohttp.ClientSession) -> User:
    return await User.create(http, stack.url, "bob")


@pytest.fixture
def room() -> str:
    """The name of a room that nobody has been in."""
    return f"room-{uuid.uuid4().hex}"


@pytest.fixture
async def one(stack: Stack) -> AsyncIterator[Instance]:
    """An instance of the app inside the test, on the stack's tables and service."""
    async with instance(stack) as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    """Skips what another Functions host ($FUNCTIONS_HOST) has no options for."""
    try:
        yield
    except UnsupportedOptionError as error:
        pytest.skip(str(error))


pytest_runtest_call = pytest_runtest_setup


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Beside a failed test stands what the parts of the stack said last."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        report.sections += [(part.name, part.last_output(lines=30)) for part in stack.parts]
    return report
