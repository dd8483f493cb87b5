"""The doctor finds nothing wrong where all is well, and names what is wrong where it is not."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web

from local import doctor
from local.doctor import Finding
from local.parts import (
    ROOT,
    Desk,
    Part,
    free_ports,
    start_functions,
    start_webpubsub,
    write_event_handlers,
)


@pytest.fixture(scope="module")
def settings(desk: Desk) -> dict[str, str]:
    example = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
    return {**example, **desk.environment}


@pytest.fixture
def start(settings: dict[str, str]) -> Iterator:
    """Starts the app with some settings changed."""
    started: list[Part] = []

    def start(**changed: str) -> Part:
        options = ["--enable-auth", "--key", "k" * 16] if changed.pop("key", "") else []
        started.append(start_functions(free_ports(1)[0], {**settings, **changed}, options=options))
        started[-1].wait()
        return started[-1]

    yield start
    for part in started:
        part.stop()


async def findings(url: str, environment: dict[str, str] | None = None, key: str = ""):
    return {one.check: one async for one in doctor.examine(url, environment, key=key, patience=3.0)}


def says(finding: Finding, *words: str) -> None:
    assert finding.state == "wrong", finding
    missing = [one for one in words if one not in finding.says]
    assert not missing, finding.says


async def test_a_desk_that_works_is_found_well(desk, settings):
    found = await findings(desk.url, settings)

    assert {one.state for one in found.values()} == {"ok"}, found
    assert list(found) == ["settings", *doctor.CHECKS]
    assert "heard after" in found["conversation"].says


async def test_an_app_is_looked_at_from_outside_without_its_settings(desk):
    found = await findings(desk.url)

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
    finding, _ = doctor.check_settings({**settings, name: value})

    says(finding, problem)


async def test_a_connection_string_that_is_none_is_named(desk, settings):
    broken = {"WEBPUBSUB_CONNECTION_STRING": "nonsense", "TABLES_CONNECTION_STRING": "nonsense"}
    found = await findings(desk.url, {**settings, **broken})

    says(found["webpubsub"], "WEBPUBSUB_CONNECTION_STRING", "Expected Endpoint=", "local.settings")
    says(found["tables"], "TABLES_CONNECTION_STRING", "Expected AccountName=", "local.settings")


async def test_a_wrong_key_of_web_pubsub_is_told_from_a_wrong_address(desk, settings):
    string = settings["WEBPUBSUB_CONNECTION_STRING"]
    other_key = string.replace("AccessKey=A", "AccessKey=B")
    nowhere = f"Endpoint=http://127.0.0.1:{free_ports(1)[0]};AccessKey={32 * 'A'};Version=1.0;"

    by_key = await findings(desk.url, {**settings, "WEBPUBSUB_CONNECTION_STRING": other_key})
    by_address = await findings(desk.url, {**settings, "WEBPUBSUB_CONNECTION_STRING": nowhere})

    says(by_key["webpubsub"], "refuse", "WEBPUBSUB_CONNECTION_STRING")
    says(by_address["webpubsub"], "does not answer", "WEBPUBSUB_CONNECTION_STRING")


async def test_a_wrong_key_of_the_tables_is_told(desk, settings):
    string = settings["TABLES_CONNECTION_STRING"].replace("AccountKey=E", "AccountKey=F")

    found = await findings(desk.url, {**settings, "TABLES_CONNECTION_STRING": string})

    says(found["tables"], "TABLES_CONNECTION_STRING", "refuse")


async def test_an_app_that_is_not_there_is_told():
    url = f"http://127.0.0.1:{free_ports(1)[0]}"

    found = await findings(url)

    says(found["app"], url, "make start", "--url")
    assert found["conversation"].state == "unseen"


@pytest.fixture
async def app_of_tomorrow() -> AsyncIterator[str]:
    """Something that says it is well, with a clock that is a day ahead."""

    async def health(_: web.Request) -> web.Response:
        date = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
        return web.json_response({"status": "ok", "checks": {}}, headers={"Date": date})

    app = web.Application()
    app.router.add_get("/api/health", health)
    runner = web.AppRunner(app)
    await runner.setup()
    (port,) = free_ports(1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def test_clocks_that_differ_are_told_by_how_much(app_of_tomorrow):
    found = await findings(app_of_tomorrow)

    assert found["app"].state == "ok"
    says(found["clock"], "differ by 86", "NTP")


async def test_what_is_not_our_app_is_told(app_of_tomorrow):
    found = await findings(f"{app_of_tomorrow}/elsewhere")

    says(found["app"], "/api/health answers 404", "Is http://127.0.0.1", "the app?")


async def test_an_app_that_is_not_configured_is_told(start):
    found = await findings(start(SESSION_SECRET="short").url)

    says(found["app"], "/api/health answers 503", "not configured")
    assert found["entry"].state == "unseen"


async def test_an_app_that_does_not_reach_its_tables_is_told(start, settings):
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    address = settings["TABLES_CONNECTION_STRING"].rpartition("TableEndpoint=")[0]
    tables = f"{address}TableEndpoint=http://{nowhere}/devstoreaccount1;"

    found = await findings(start(TABLES_CONNECTION_STRING=tables).url)

    says(found["app"], "does not reach tables", "TABLES_")


async def test_a_webhook_behind_a_key_is_looked_at_with_the_key(start):
    app = start(key="yes")

    without, with_key = await findings(app.url), await findings(app.url, key="k" * 16)

    assert without["webhook"].state == "unseen"
    assert "--key" in without["webhook"].says
    assert with_key["webhook"].state == "ok"


async def test_a_hub_without_a_handler_is_told(start, tmp_path):
    hub = start_webpubsub(free_ports(1)[0], handlers(tmp_path, []))
    try:
        hub.wait()
        app = start(WEBPUBSUB_CONNECTION_STRING=string_of(hub))

        found = await findings(app.url)
    finally:
        hub.stop()

    says(found["conversation"], "could not deliver `join`", "event handler", "connect_hub.py")


async def test_a_hub_whose_handler_leads_nowhere_is_told(start, tmp_path):
    handler = write_event_handlers(tmp_path / "webpubsub.json", free_ports(1)[0])
    hub = start_webpubsub(free_ports(1)[0], handler)
    try:
        hub.wait()
        app = start(WEBPUBSUB_CONNECTION_STRING=string_of(hub))

        found = await findings(app.url)
    finally:
        hub.stop()

    says(found["conversation"], "event handler", "connect")


def handlers(folder: Path, event_handlers: list) -> Path:
    file = write_event_handlers(folder / "webpubsub.json", 1)
    content = json.loads(file.read_text())
    for one in content["WebPubSub"]["Hubs"].values():
        one["EventHandlers"] = event_handlers
    file.write_text(json.dumps(content))
    return file


def string_of(hub: Part) -> str:
    from local.parts import ACCESS_KEY

    return f"Endpoint={hub.url};AccessKey={ACCESS_KEY};Version=1.0;"


def test_the_command_prints_one_line_a_check_and_its_exit_code_tells(desk):
    well = run("--url", desk.url)
    broken = run("--url", f"http://127.0.0.1:{free_ports(1)[0]}", "--json")

    assert well.returncode == 0, well.stdout
    assert [line.split()[:2] for line in well.stdout.splitlines()] == [
        ["ok", name] for name in doctor.CHECKS if name not in doctor.OF_THE_SETTINGS
    ]
    assert broken.returncode == 1
    assert json.loads(broken.stdout)[0]["state"] == "wrong"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local.doctor", *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
