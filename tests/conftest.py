"""Fixtures of all tests: the stack, started once in a session, and users."""

import gc
import os
import sys
import uuid
from collections.abc import AsyncIterator, Generator, Iterator

import aiohttp
import certifi
import pytest

from local.other_parts import UnsupportedOptionError
from local.parts import (
    ACCESS_KEY,
    NODE_COMPILE_CACHE,
    ROOT,
    Part,
    Ports,
    Stack,
    environment_of,
    free_ports,
    start_stack,
    start_tables,
)
from tests import logs
from tests.entra import FOLDER_VARIABLE
from tests.instances import Instance, instance
from tests.strict import start_strict
from tests.users import User

# Beside these, the app runs with the values of local.settings.json.example.
SETTINGS = {
    "METRICS_SCHEDULE": "* * * * * *",  # the first tick comes within a second
    "WEATHER_SCHEDULE": "0 0 0 1 1 *",  # no test calls a real weather service
    "ALLOWED_ORIGINS": "",  # tests/page/test_cross_origin.py starts an instance with some
    # Tests send faster than users do. tests/strict.py starts an app with real limits.
    "MESSAGES_PER_MINUTE": "60000",
    "JOINS_PER_MINUTE": "60000",
    "NEGOTIATES_PER_MINUTE": "60000",
    "GUESTS_PER_MINUTE": "60000",
    "CONNECTIONS_PER_USER": "1000",
    "CONNECTS_PER_MINUTE": "60000",
}

# Workers and parts import the same modules: Python and Node store them compiled, also where the
# environment forbids it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ.update(NODE_COMPILE_CACHE)

# Each process that imports aiohttp, and each client of httpx, reads all authorities of the machine
# in 33 ms. No test calls a public server: one authority is enough.
AUTHORITY = ROOT / ".local/tests/authority.pem"
if FOLDER_VARIABLE not in os.environ:  # else the parts trust the emulator's certificate alone
    end = "-----END CERTIFICATE-----\n"
    AUTHORITY.parent.mkdir(parents=True, exist_ok=True)
    written = AUTHORITY.with_suffix(f".{os.getpid()}")  # other workers read the file
    written.write_text(certifi.contents().partition(end)[0] + end)
    written.replace(AUTHORITY)
    os.environ["SSL_CERT_FILE"] = str(AUTHORITY)

LONG_FILES = (
    # These read whole tables, which are small at the beginning.
    "tests/test_user_data.py",
    "tests/test_restore.py",
    # Of each pair the first needs the processor most of the time, and the second waits.
    *("tests/page/test_conversations.py", "tests/deployment/test_hook_connect.py"),
    *("tests/page/test_messages.py", "tests/test_doctor.py"),
    *("tests/page/test_layout.py", "tests/streams/test_runs.py"),
    *("tests/faults/test_faults.py", "tests/deployment/test_hook_check.py"),
    *("tests/page/test_moderation.py", "tests/page/test_reliability.py"),
    *("tests/page/test_connection.py", "tests/deployment/test_hook_audience.py"),
    *("tests/clients/test_javascript.py", "tests/local/test_functions_supervisor.py"),
    *("tests/page/test_look.py", "tests/page/test_refusals.py"),
    *("tests/test_openapi.py", "tests/streams/test_pushed.py"),
    *("tests/page/test_shell.py", "tests/test_presence.py"),
    *("tests/local/test_start.py", "tests/page/test_streams.py"),
    *("tests/page/test_api_docs.py", "tests/test_history_sharing.py"),
    *("emulator/tests/test_pytest_plugin.py", "tests/streams/test_files.py"),
    *("tests/test_roles.py", "tests/test_slow_storage.py"),
    *("tests/test_private_rooms.py", "clients/python/tests/test_client_listen.py"),
    *("clients/python/tests/test_client_package.py", "tests/test_azure_transport.py"),
)
"""Parallel workers begin with these files: they end together, and the processor is busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests of the long files to the front."""
    if missing := [name for name in LONG_FILES if not (ROOT / name).is_file()]:
        raise pytest.UsageError(f"LONG_FILES has names of files that do not exist: {missing}")
    ranks = {name: rank for rank, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(ranks)))


def pytest_collection_finish() -> None:
    """Leave what the collection has made to the end: no garbage collection looks at it again."""
    gc.freeze()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All parts on free ports: the app, the emulator and the tables. No data is stored on disk.

    After the last test, no log may contain a private text of the tests.
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
    # The emulator prints its key when it starts, as Microsoft's emulator does.
    assert logs.find_leaks(stack.webpubsub.output, besides=frozenset({ACCESS_KEY})) == []


@pytest.fixture(scope="session")
def strict(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Part]:
    """A second instance of the app on the same services, with every limit and rule enabled."""
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
    """An HTTP client without a limit of connections."""
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
    """The name of a new room."""
    return f"room-{uuid.uuid4().hex}"


@pytest.fixture
async def one(stack: Stack) -> AsyncIterator[Instance]:
    """An instance of the app inside the test, on the stack's tables and service."""
    async with instance(stack) as made:
        yield made


@pytest.fixture
async def other(stack: Stack) -> AsyncIterator[Instance]:
    """Another instance on the same tables and service."""
    async with instance(stack) as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    """Skip a test that needs options which the Functions host in $FUNCTIONS_HOST does not have."""
    try:
        yield
    except UnsupportedOptionError as error:
        pytest.skip(str(error))


pytest_runtest_call = pytest_runtest_setup


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the last output of each part of the stack to the report of a failed test."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        report.sections += [(part.name, part.last_output(lines=30)) for part in stack.parts]
    return report
