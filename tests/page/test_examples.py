"""The examples: each program and page runs as it is, in a browser where it has a page."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from townsquare_client import Message, Townsquare

from examples.__main__ import EXAMPLES, environment_of
from local.parts import ROOT, Part, Stack, free_ports, start_functions
from tests import logs
from tests.conftest import SETTINGS
from tests.strict import QUIET

pytestmark = [pytest.mark.timeout(180)]

APP = "http://localhost:7071"
"""The address of the app in the pages."""

ATTEMPTS = 100
BOT_ATTEMPTS = 300


@pytest.fixture(scope="module")
def port() -> int:
    """Where the examples' sites listen, one after the other."""
    return free_ports(1)[0]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def app(stack: Stack, port: int) -> AsyncIterator[Part]:
    """An instance of the app that allows pages of the port."""
    origin = f"http://localhost:{port}"
    environment = {**SETTINGS, **stack.environment, **QUIET, "ALLOWED_ORIGINS": origin}
    part = start_functions(
        free_ports(1)[0], environment, options=("--cors", origin), listener=logs.lines.append
    )
    try:
        part.wait()
        yield part
    finally:
        part.stop()


@contextmanager
def running(*command: str | Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    program = subprocess.Popen([sys.executable, *command], env={**os.environ, **variables})
    try:
        yield program
    finally:
        program.terminate()
        program.wait()


@contextmanager
def site(name: str, app: Part, port: int, folder: Path) -> Iterator[None]:
    """Serves the page of an example, with the address of this test's app."""
    html = (ROOT / f"examples/{name}/index.html").read_text("utf-8")
    assert APP in html
    (folder / "index.html").write_text(html.replace(APP, app.url), "utf-8")
    with running("-m", "http.server", str(port), "--bind", "localhost", "--directory", folder):
        yield


async def wait_for_stream(app: Part, name: str) -> None:
    """The program defines the stream when it has started."""
    with Townsquare(app.url) as townsquare:
        for _ in range(ATTEMPTS):
            if name in {one.name for one in townsquare.streams() if one.active}:
                return
            await asyncio.sleep(0.2)
    raise AssertionError(f"{name} is not active")


async def open_page(browser: Browser, port: int) -> Page:
    """Opens a page as soon as its server listens."""
    page = await browser.new_page()
    for attempt in range(ATTEMPTS):
        try:
            await page.goto(f"http://localhost:{port}/")
            break
        except Exception:
            if attempt == ATTEMPTS - 1:
                raise
            await page.wait_for_timeout(100)
    return page


@pytest.mark.asyncio(loop_scope="session")
async def test_the_chat_widget_talks(
    browser: Browser, app: Part, port: int, tmp_path: Path
) -> None:
    with site("chat_widget", app, port, tmp_path), Townsquare(app.url, key="any") as townsquare:
        page = await open_page(browser, port)
        room = page.locator("townsquare-room")
        await expect(room.locator(".state")).to_have_text("Live")

        townsquare.send_message("bakery", "The rye bread is warm", sender="baker")
        await expect(room.get_by_role("listitem").last).to_contain_text("The rye bread is warm")
        await room.get_by_label("Message", exact=True).fill("On my way")
        await page.keyboard.press("Enter")
        await expect(room.get_by_role("listitem").last).to_contain_text("On my way")
        await expect(room.locator("li.pending")).to_have_count(0)
        assert "On my way" in [one.content for one in townsquare.history("bakery")]
        await page.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_the_dashboard_shows_what_is_pushed(
    browser: Browser, app: Part, port: int, tmp_path: Path
) -> None:
    push = ROOT / "examples/sensor_dashboard/push.py"
    with running(push, **environment_of(app.url)), site("sensor_dashboard", app, port, tmp_path):
        await wait_for_stream(app, "greenhouse")
        page = await open_page(browser, port)
        values = page.locator("townsquare-stream .value")

        for n in range(2):
            await expect(values.nth(n)).to_have_text(re.compile(r"^\d+(\.\d+)?$"))
        first = await values.first.text_content()
        await expect(values.first).not_to_have_text(first or "")
        await page.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_who_has_signed_in_to_the_own_login_talks_under_that_name(
    browser: Browser, app: Part, port: int
) -> None:
    program = ROOT / "examples/own_login/app.py"
    environment = {**environment_of(app.url), "PORT": str(port)}
    with running(program, **environment), Townsquare(app.url, key="any") as townsquare:
        page = await open_page(browser, port)
        await page.get_by_label("Name").fill("carol")
        await page.get_by_label("Password").fill("bread")
        await page.get_by_role("button", name="Sign in").click()
        room = page.locator("townsquare-room")
        await expect(room.locator(".state")).to_have_text("Live")

        await room.get_by_label("Message", exact=True).fill("Good morning")
        await page.keyboard.press("Enter")
        await expect(room.locator("li:not(.pending)").last).to_contain_text("Good morning")
        said = next(iter(townsquare.recent_history("staff")))
        assert (said.sender, said.name, said.content) == (
            "user-4711",
            "Carol Müller",
            "Good morning",
        )
        await page.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_one_command_runs_the_bot_and_it_answers() -> None:
    functions, webpubsub, tables = free_ports(3)
    ports = (
        *("--functions-port", str(functions), "--webpubsub-port", str(webpubsub)),
        *("--tables-port", str(tables)),
    )
    with (
        running("-m", "examples", "bot", *ports, PYTHONPATH=str(ROOT)) as program,
        Townsquare(f"http://localhost:{functions}", key="any", retries=30) as townsquare,
    ):
        asked, replies = [], list[Message]()
        while not replies and len(asked) < BOT_ATTEMPTS:
            await asyncio.sleep(0.3)  # the bot starts after the parts, and joins the room
            assert program.poll() is None
            asked.append(townsquare.send_message("lobby", "!roll", sender="ann").seq)
            found = townsquare.history("lobby")
            replies = [one for one in found if one.sender == "helper-bot"]

    assert replies[0].content.startswith("You rolled a ")
    assert replies[0].reply_to in asked


def test_every_example_has_a_readme_with_its_command() -> None:
    folders = {path.parent.name for path in (ROOT / "examples").glob("*/README.md")}

    assert folders == set(EXAMPLES)
    for name in folders:
        readme = (ROOT / f"examples/{name}/README.md").read_text("utf-8")
        assert f"make example NAME={name}" in readme
