"""Pages of other origins: those in ALLOWED_ORIGINS embed the app, others show an error."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from local.parts import ROOT, Part, Stack, free_ports, start_functions
from tests import logs
from tests.conftest import SETTINGS
from tests.http_server import serve
from tests.page.conftest import Enter
from tests.strict import QUIET

pytestmark = pytest.mark.asyncio(loop_scope="session")

APP = "http://localhost:7071"
"""The address of the app in the document."""

UNLISTED = "https://other.example"
"""An origin that the CORS settings of the host have and ALLOWED_ORIGINS does not."""

SCRIPT = ROOT / "web/dist/townsquare-elements.js"


@dataclass
class Site:
    """A site with one page, and its own copy of the script."""

    html: str = ""
    url: str = ""
    console: list[str] = field(default_factory=list)

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/copy.js":
            return web.Response(text=SCRIPT.read_text("utf-8"), content_type="text/javascript")
        return web.Response(text=self.html, content_type="text/html")

    async def open(self, browser: Browser, html: str) -> Page:
        self.html = html
        page = await browser.new_page()
        page.on("console", lambda message: self.console.append(message.text))
        await page.goto(self.url)
        return page


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def listed() -> AsyncIterator[Site]:
    site = Site()
    async with serve(site.respond, "localhost") as site.url:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def unlisted() -> AsyncIterator[Site]:
    site = Site()
    async with serve(site.respond, "localhost") as site.url:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def app(stack: Stack, listed: Site) -> AsyncIterator[Part]:
    """An instance of the app that allows one more origin."""
    allowed = {"ALLOWED_ORIGINS": listed.url}
    environment = {**SETTINGS, **stack.environment, **QUIET, **allowed}
    (port,) = free_ports(1)
    options = ("--cors", f"{listed.url},{UNLISTED}")
    part = start_functions(port, environment, options=options, listener=logs.lines.append)
    try:
        part.wait()
        yield part
    finally:
        part.stop()


def page_of_the_document(app: Part, room: str) -> str:
    """The page of docs/embedding.md, with the addresses of this test."""
    text = (ROOT / "docs/embedding.md").read_text("utf-8")
    found = re.search(r"```html\n(.*?)```", text, re.DOTALL)
    assert found, "docs/embedding.md has no page"
    html = found[1]
    assert len(html.splitlines()) == 12
    assert APP in html
    assert 'room="lobby"' in html
    return html.replace(APP, app.url).replace('room="lobby"', f'room="{room}"')


async def test_the_page_of_the_document_works_on_another_port(
    browser: Browser, enter: Enter, app: Part, listed: Site, room: str
) -> None:
    bob = await enter("bob")
    page = await listed.open(browser, page_of_the_document(app, room))
    ours = page.locator("townsquare-room")
    await expect(ours.locator(".state")).to_have_text("Live")

    await ours.get_by_label("Message", exact=True).fill("Hello from another port")
    await page.keyboard.press("Enter")
    await bob.sees("Hello from another port")
    await bob.sends("Hello back")

    await expect(ours.get_by_role("listitem").last).to_contain_text("Hello back")
    await page.close()
    assert [one for one in listed.console if "CORS" in one or "rror" in one] == []


async def test_the_page_of_the_document_shows_an_error_on_an_unlisted_origin(
    browser: Browser, app: Part, unlisted: Site, room: str
) -> None:
    page = await unlisted.open(browser, page_of_the_document(app, room))

    await expect(page.get_by_text("The room cannot be loaded.")).to_be_visible()
    await expect(page.locator("townsquare-room .state")).to_have_count(0)
    await page.close()
    assert "blocked by CORS policy" in " ".join(unlisted.console)


async def test_a_copied_script_shows_that_the_origin_is_not_listed(
    browser: Browser, enter: Enter, app: Part, unlisted: Site, room: str
) -> None:
    bob = await enter("bob")
    html = page_of_the_document(app, room).replace(
        f"{app.url}/assets/townsquare-elements.js", "/copy.js"
    )
    html = html.replace("<townsquare-room", f'<townsquare-room url="{app.url}"')
    page = await unlisted.open(browser, html)

    text = f"Pages of {unlisted.url} may not call this app"
    await expect(page.locator("townsquare-room")).to_contain_text(text)
    await page.close()
    await bob.sends("Is anybody here?")
    await bob.sees("Is anybody here?")  # and no other message


async def test_only_listed_origins_show_the_app_in_a_frame(
    browser: Browser, app: Part, listed: Site, unlisted: Site, room: str
) -> None:
    html = f'<!doctype html><title>Frame</title><iframe src="{app.url}/?room={room}"></iframe>'
    page = await listed.open(browser, html)
    other = await unlisted.open(browser, html)

    await expect(page.frame_locator("iframe").locator("html")).to_have_attribute(
        "data-identity", "guest"
    )
    await expect(other.frame_locator("iframe").locator("[data-identity]")).to_have_count(0)
    await page.close()
    await other.close()
    assert "frame-ancestors" in " ".join(unlisted.console)


async def test_an_unlisted_origin_is_rejected_and_creates_no_guest(app: Part, listed: Site) -> None:
    """CORS of the platform alone may allow more: the setting of the app decides."""

    async def negotiate(origin: str) -> tuple[int, Any]:
        headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        url = f"{app.url}/api/negotiate"
        async with http.post(url, json={"name": "Ann"}, headers=headers) as response:
            return response.status, await response.json()

    async with aiohttp.ClientSession() as http:
        status, _ = await negotiate(listed.url)
        rejected, body = await negotiate(UNLISTED)

    assert (status, rejected) == (200, 403)
    assert body["error"]["code"] == "forbidden"
    assert UNLISTED in body["error"]["message"]
