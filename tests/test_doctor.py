"""The doctor reports no problem where there is none, and names each problem that there is."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web

from local.doctor.examination import CHECKS, SETTINGS_CHECKS, examine
from local.doctor.findings import CheckFailedError, Finding
from local.doctor.settings_checks import check_settings, read_environment
from local.doctor.target import parse_url
from local.parts import (
    ACCESS_KEY,
    ROOT,
    Part,
    Stack,
    free_ports,
    start_functions,
    start_webpubsub,
    write_event_handlers,
)
from tests.http_server import serve

TIMEOUT_SECONDS = 20.0
SHORT_TIMEOUT_SECONDS = 5.0  # where a service never responds


@pytest.fixture(scope="module")
def settings(stack: Stack) -> dict[str, str]:
    example = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
    return {**example, **stack.environment}


@pytest.fixture
def start(settings: dict[str, str]) -> Iterator:
    """A function that starts the app with some settings changed."""
    started: list[Part] = []

    def start(**changed: str) -> Part:
        options = ["--enable-auth", "--key", "k" * 16] if changed.pop("key", "") else []
        started.append(start_functions(free_ports(1)[0], {**settings, **changed}, options=options))
        started[-1].wait()
        return started[-1]

    yield start
    for part in started:
        part.stop()


async def findings(
    url: str,
    environment: dict[str, str] | None = None,
    key: str = "",
    timeout_seconds: float = TIMEOUT_SECONDS,
):
    found = examine(url, environment, key=key, timeout_seconds=timeout_seconds)
    return {one.check: one async for one in found}


def assert_failed(finding: Finding, *words: str) -> None:
    assert finding.state == "failed", finding
    missing = [one for one in words if one not in finding.message]
    assert not missing, finding.message


async def test_a_working_product_passes_every_check(stack, settings):
    found = await findings(stack.url, settings)

    assert {one.state for one in found.values()} == {"ok"}, found
    assert list(found) == ["settings", *CHECKS]
    assert "received after" in found["conversation"].message


async def test_an_app_is_checked_from_outside_without_its_settings(stack):
    found = await findings(stack.url)

    assert {one.state for one in found.values()} == {"ok"}, found
    assert "tables" not in found


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("SESSION_SECRET", "short", "SESSION_SECRET is missing or short; expected 32"),
        ("IDENTITY", "anybody", "IDENTITY is 'anybody'; expected guest or easyauth or oidc"),
        ("HISTORY_DAYS", "many", "HISTORY_DAYS is 'many'; expected a whole number"),
        ("TABLES_CONNECTION_STRING", "", "TABLES_CONNECTION_STRING (or TABLES_ENDPOINT)"),
        ("SESSION_SECRET", "@Microsoft.KeyVault(SecretUri=https://…)", "SESSION_SECRET is a Key"),
    ],
)
async def test_a_wrong_setting_is_named_with_what_was_expected(settings, name, value, problem):
    finding, _ = check_settings({**settings, name: value})

    assert_failed(finding, problem)


async def test_an_invalid_connection_string_is_named(stack, settings):
    broken = {"WEBPUBSUB_CONNECTION_STRING": "nonsense", "TABLES_CONNECTION_STRING": "nonsense"}
    found = await findings(stack.url, {**settings, **broken})

    assert_failed(
        found["webpubsub"], "WEBPUBSUB_CONNECTION_STRING", "Expected Endpoint=", "local.settings"
    )
    assert_failed(
        found["tables"], "TABLES_CONNECTION_STRING", "Expected AccountName=", "local.settings"
    )


async def test_a_wrong_key_of_web_pubsub_is_distinguished_from_a_wrong_address(stack, settings):
    string = settings["WEBPUBSUB_CONNECTION_STRING"]
    other_key = string.replace("AccessKey=A", "AccessKey=B")
    nowhere = f"Endpoint=http://127.0.0.1:{free_ports(1)[0]};AccessKey={32 * 'A'};Version=1.0;"

    by_key = await findings(stack.url, {**settings, "WEBPUBSUB_CONNECTION_STRING": other_key})
    by_address = await findings(stack.url, {**settings, "WEBPUBSUB_CONNECTION_STRING": nowhere})

    assert_failed(by_key["webpubsub"], "refuse", "WEBPUBSUB_CONNECTION_STRING")
    assert_failed(by_address["webpubsub"], "does not respond", "WEBPUBSUB_CONNECTION_STRING")


async def test_a_wrong_key_of_the_tables_is_named(stack, settings):
    string = settings["TABLES_CONNECTION_STRING"].replace("AccountKey=E", "AccountKey=F")

    found = await findings(stack.url, {**settings, "TABLES_CONNECTION_STRING": string})

    assert_failed(found["tables"], "TABLES_CONNECTION_STRING", "refuse")


async def test_an_unreachable_app_is_named():
    url = f"http://127.0.0.1:{free_ports(1)[0]}"

    found = await findings(url)

    assert_failed(found["app"], url, "make start", "--url")
    assert found["conversation"].state == "skipped"


@pytest.fixture
async def app_with_a_fast_clock() -> AsyncIterator[str]:
    """An app that reports ok and whose clock is a day ahead."""

    async def health(request: web.BaseRequest) -> web.Response:
        if request.path != "/api/health":
            return web.Response(status=404)
        date = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
        return web.json_response({"status": "ok", "checks": {}}, headers={"Date": date})

    async with serve(health) as url:
        yield url


async def test_clocks_that_differ_are_named_with_the_difference(app_with_a_fast_clock):
    found = await findings(app_with_a_fast_clock)

    assert found["app"].state == "ok"
    assert_failed(found["clock"], "differ by 86", "NTP")


async def test_a_server_that_is_not_the_app_is_named(app_with_a_fast_clock):
    found = await findings(f"{app_with_a_fast_clock}/elsewhere")

    assert_failed(found["app"], "/api/health returned 404", "Is http://127.0.0.1", "the app?")


async def test_an_app_that_is_not_configured_is_named(start):
    found = await findings(start(SESSION_SECRET="short").url)

    assert_failed(found["app"], "/api/health returned 503", "not configured")
    assert found["negotiate"].state == "skipped"


async def test_an_app_that_does_not_reach_its_tables_is_named(start, settings):
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    address = settings["TABLES_CONNECTION_STRING"].rpartition("TableEndpoint=")[0]
    tables = f"{address}TableEndpoint=http://{nowhere}/devstoreaccount1;"

    found = await findings(start(TABLES_CONNECTION_STRING=tables).url)

    assert_failed(found["app"], "does not reach tables", "TABLES_")


async def test_a_webhook_behind_a_key_is_checked_with_the_key(start):
    app = start(key="yes")

    without, with_key = await findings(app.url), await findings(app.url, key="k" * 16)

    assert without["webhook"].state == "skipped"
    assert "--key" in without["webhook"].message
    assert with_key["webhook"].state == "ok"


async def test_a_hub_without_a_handler_is_named(start, tmp_path):
    with running_hub(handlers(tmp_path, [])) as connection_string:
        app = start(WEBPUBSUB_CONNECTION_STRING=connection_string)

        found = await findings(app.url)

    assert_failed(
        found["conversation"], "could not deliver `join`", "event handler", "connect_hub.py"
    )


async def test_a_hub_whose_handler_is_unreachable_is_named(start, tmp_path):
    handler = write_event_handlers(tmp_path / "webpubsub.json", free_ports(1)[0])
    with running_hub(handler) as connection_string:
        app = start(WEBPUBSUB_CONNECTION_STRING=connection_string)

        found = await findings(app.url)

    assert_failed(found["conversation"], "event handler", "connect")


def handlers(folder: Path, event_handlers: list) -> Path:
    file = write_event_handlers(folder / "webpubsub.json", 1)
    content = json.loads(file.read_text())
    for one in content["WebPubSub"]["Hubs"].values():
        one["EventHandlers"] = event_handlers
    file.write_text(json.dumps(content))
    return file


@contextmanager
def running_hub(settings: Path) -> Iterator[str]:
    """An emulator with other settings; its connection string."""
    hub = start_webpubsub(free_ports(1)[0], settings)
    try:
        hub.wait()
        yield f"Endpoint={hub.url};AccessKey={ACCESS_KEY};Version=1.0;"
    finally:
        hub.stop()


@pytest.fixture
async def silent_server() -> AsyncIterator[str]:
    """A server that accepts connections and never responds, like a frozen service."""
    waiting: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for writer in waiting:
        writer.close()
    server.close()


async def test_services_that_never_respond_are_named(stack, settings, silent_server):
    address = settings["TABLES_CONNECTION_STRING"].rpartition("TableEndpoint=")[0]
    frozen = {
        "TABLES_CONNECTION_STRING": f"{address}TableEndpoint={silent_server}/devstoreaccount1;",
        "WEBPUBSUB_CONNECTION_STRING": f"Endpoint={silent_server};AccessKey={ACCESS_KEY};",
    }

    found = await findings(stack.url, {**settings, **frozen}, timeout_seconds=SHORT_TIMEOUT_SECONDS)

    assert_failed(found["tables"], "TABLES_CONNECTION_STRING", "does not respond")
    assert_failed(found["webpubsub"], "WEBPUBSUB_CONNECTION_STRING", "does not respond")
    assert found["conversation"].state == "ok"


async def test_an_app_that_never_responds_is_named(silent_server):
    found = await findings(silent_server, timeout_seconds=SHORT_TIMEOUT_SECONDS)

    assert_failed(found["app"], "No response within")
    assert found["conversation"].state == "skipped"


async def test_the_address_of_another_part_is_recognized(stack):
    tables, hub = await findings(stack.tables.url), await findings(stack.webpubsub.url)

    assert_failed(tables["app"], "This is Azurite", "7071")
    assert_failed(hub["app"], "Web PubSub or its emulator", "7071")


@pytest.mark.parametrize("body", ["[]", "7", '"text"', "{}", '{"checks": []}', "[" * 5000])
async def test_unexpected_json_is_not_accepted_as_the_app(body):
    async def response(_: web.BaseRequest) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    async with serve(response) as url:
        found = await findings(url)

    assert_failed(found["app"], "expected 200")


@pytest.mark.parametrize(
    "response", ["[]", "{}", '{"url": "nonsense", "user_id": "x", "room": "y"}', "{"]
)
async def test_an_unexpected_negotiate_response_is_a_finding(response):
    async def respond(request: web.BaseRequest) -> web.Response:
        is_health = request.path.startswith("/api/health")
        text = '{"status": "ok"}' if is_health else response
        return web.Response(text=text, content_type="application/json")

    async with serve(respond) as url:
        found = await findings(url)

    assert list(found) == [name for name in CHECKS if name not in SETTINGS_CHECKS]
    assert "failed" in {found["negotiate"].state, found["conversation"].state}
    assert not [one for one in found.values() if "The check itself" in one.message], found


async def test_streams_and_resources_of_a_deployed_app_are_checked():
    streams = {"streams": [{"name": "weather", "active": False, "age_seconds": 700.0}]}

    async def respond(request: web.BaseRequest) -> web.Response:
        return web.json_response(
            streams if request.path == "/api/streams" else {"status": "ok", "checks": {}}
        )

    async with serve(respond, "127.0.0.2") as url:
        found = await findings(url)

    assert_failed(found["streams"], "weather (last frame 700 s ago)")
    assert {found[name].state for name in ("handler", "roles", "functions")} == {"skipped"}


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("localhost:7071", "http://localhost:7071"),
        ("127.0.0.1:7071/", "http://127.0.0.1:7071"),
        ("app.azurewebsites.net", "https://app.azurewebsites.net"),
        (" https://app.azurewebsites.net/ ", "https://app.azurewebsites.net"),
    ],
)
def test_an_address_without_a_scheme_is_completed(typed, url):
    assert parse_url(typed) == url


@pytest.mark.parametrize(
    "typed", ["", "http://", "ftp://x", "http://x:port", "http://[", "x:99999"]
)
def test_an_invalid_address_is_named(typed):
    with pytest.raises(CheckFailedError, match="is not an address; expected one like"):
        parse_url(typed)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HISTROY_DAYS", "HISTORY_DAYS"),
        ("MODERATE_FAILIURE", "MODERATE_FAILURE"),
        ("banned_users", "BANNED_USERS"),
        ("TABLES_CONECTION_STRING", None),
    ],
)
def test_a_misspelled_setting_is_named_with_a_suggestion(settings, name, meant):
    finding, _ = check_settings({**settings, name: "1"})

    if meant is None:  # the right one is set as passing
        assert finding.state == "ok"
    else:
        assert_failed(finding, f"There is no setting {name}; did you mean {meant}?")


@pytest.mark.parametrize("name", ["FINNHUB", "MY_OWN_KEY", "PYTHON_THREADPOOL_THREAD_COUNT"])
def test_settings_of_other_tools_are_ignored(settings, name):
    finding, _ = check_settings({**settings, name: "1"})

    assert finding.state == "ok", finding


@pytest.mark.parametrize(
    ("moderate", "problem"),
    [
        ("nonsense", "expected package.module:function"),
        (":check", "expected package.module:function"),
        ("no_such_module:check", "importing it fails with ModuleNotFoundError"),
        ("word_filter:no_such_function", "has no no_such_function"),
        ("word_filter:check_now", "is no async function"),
        ("..:x", "importing it fails with"),
        ("word_filter:check", None),
    ],
)
def test_a_moderation_function_that_cannot_be_used_is_named(
    settings, moderate, problem, tmp_path, monkeypatch
):
    functions = "async def check(*_): ...\ndef check_now(*_): ...\n"
    (tmp_path / "word_filter.py").write_text(functions)
    monkeypatch.syspath_prepend(tmp_path)

    finding, _ = check_settings({**settings, "MODERATE": moderate})

    if problem is None:
        assert finding.state == "ok", finding
    else:
        assert_failed(finding, "MODERATE is", problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not JSON"),
        ("[]", "expected a JSON object"),
        ('{"Values": []}', "Values is []"),
        ("\x00", "is not JSON"),
    ],
)
def test_a_broken_settings_file_is_a_finding(tmp_path, text, problem):
    (tmp_path / "local.settings.json").write_text(text)

    _, finding = read_environment(tmp_path)

    assert_failed(finding, "local.settings.json", problem)


def test_the_settings_file_may_have_comments(tmp_path, monkeypatch):
    monkeypatch.delenv("OWN", raising=False)
    (tmp_path / "local.settings.json").write_text('{"Values": {"OWN": "1"}} // comment')

    environment, finding = read_environment(tmp_path)

    assert (environment["OWN"], finding) == ("1", None)


def test_the_command_prints_one_line_a_check_and_exits_with_the_result(stack):
    passing = run("--url", stack.url)
    broken = run("--url", f"http://127.0.0.1:{free_ports(1)[0]}", "--json")

    assert passing.returncode == 0, passing.stdout
    assert [line.split()[:2] for line in passing.stdout.splitlines()] == [
        ["ok", name] for name in CHECKS if name not in SETTINGS_CHECKS
    ]
    assert broken.returncode == 1
    assert json.loads(broken.stdout)[0]["state"] == "failed"


@pytest.mark.parametrize("url", ["localhost:1", "nonsense://x", "http://x:port"])
def test_the_command_never_ends_with_a_traceback(url):
    result = run("--url", url)

    assert result.returncode == 1
    assert result.stdout.startswith("failed  app ")
    assert "Traceback" not in result.stderr


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local.doctor", *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
