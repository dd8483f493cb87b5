"""A room and a stream in pages of other sites: custom elements and React hooks."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, expect

from local.parts import ROOT, Stack, node
from tests.http_server import serve
from tests.page.conftest import Enter, Post
from tests.page.site import Forwarder
from tests.page.test_look import find_violations
from tests.page.test_messages import choose, confirm

pytestmark = pytest.mark.asyncio(loop_scope="session")

PACKAGE = ROOT / "clients/javascript"
# The strictest policy of a page: no inline style, no inline script.
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src *"
BUNDLE = """
import { build } from "esbuild";
const [entry, outfile, client] = process.argv.slice(1);
await build({ entryPoints: [entry], outfile, bundle: true, format: "esm", logLevel: "error",
  nodePaths: ["node_modules"], alias: { "townsquare-client": client },
  define: { "process.env.NODE_ENV": '"development"' } });
"""

OpenPage = Callable[..., Awaitable[Page]]


class Site(Forwarder):
    """Another site: its own page and script, everything else is forwarded to the app."""

    html = script = ""

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/":
            headers = {"Content-Security-Policy": POLICY}
            return web.Response(text=self.html, content_type="text/html", headers=headers)
        if request.path == "/script.js":
            return web.Response(text=self.script, content_type="text/javascript")
        return await self.forward(request)


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser, stack: Stack) -> AsyncIterator[OpenPage]:
    """Opens a page of another site. At the end its console has no errors."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []
    async with aiohttp.ClientSession() as client:
        site = Site(stack.url, client)

        async def open_page(
            html: str, *, script: str = "", query: str = "", **options: Any
        ) -> Page:
            context = await browser.new_context(**options)
            contexts.append(context)
            page = await context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda one: errors.append(one.text) if one.type == "error" else None)
            site.html, site.script = html, script
            await page.goto(f"{url}/{query}")
            return page

        async with serve(site.respond, "localhost") as url:
            yield open_page
            for context in contexts:
                await context.close()
    refused = ("favicon", "401 (Unauthorized)")
    assert [error for error in errors if not any(one in error for one in refused)] == []


def page_with(body: str) -> str:
    script = '<script type="module" src="/assets/townsquare-elements.js"></script>'
    return f'<!doctype html><html lang="en"><title>Ours</title><main>{script}{body}</main></html>'


async def test_the_room_element_shows_a_room(enter: Enter, open_page: OpenPage, room: str) -> None:
    bob = await enter("bob")
    page = await open_page(
        page_with(f'<townsquare-room room="{room}" name="Ann"></townsquare-room>')
    )
    ours = page.locator("townsquare-room")
    await expect(ours.get_by_role("heading")).to_have_text(f"#{room}")
    await expect(ours.locator(".state")).to_have_text("Live")

    await ours.get_by_label("Message", exact=True).fill("Hello from another page")
    await page.keyboard.press("Enter")
    await bob.sees("Hello from another page")
    await bob.sends("<b>Hello back</b>")

    rows = ours.get_by_role("listitem")
    await expect(rows.last).to_contain_text("<b>Hello back</b>")
    await expect(rows).to_have_count(2)
    await expect(ours).to_contain_text("2 people online")
    await expect(ours.get_by_role("button", name="Earlier messages")).to_be_hidden()
    await page.screenshot(path=ROOT / "tests/output/room-element.png")


async def test_the_room_element_shows_edits_and_deletes(
    enter: Enter, open_page: OpenPage, room: str
) -> None:
    bob = await enter("bob")
    tag = f'<townsquare-room room="{room}" name="Ann"></townsquare-room>'
    rows = (page := await open_page(page_with(tag))).locator("townsquare-room li")
    for text in ("frist", "a secret"):
        await bob.sends(text)
        await bob.sees(text)
        await expect(rows.last).to_contain_text(text)
    first, second = (bob.page.locator(f'.msg[data-seq="{seq}"]') for seq in (1, 2))

    await choose(bob, first, "Edit")
    await bob.sends("first")
    await choose(bob, second, "Delete")
    await confirm(bob, "Delete")

    await expect(rows.last).to_contain_text("This message was deleted.")
    await expect(rows.first).to_contain_text("edited")
    await expect(rows.first).to_contain_text("first")
    await expect(page.locator("townsquare-room")).not_to_contain_text("secret")


async def test_a_guest_stays_the_same_when_the_element_changes_or_moves(
    open_page: OpenPage, room: str
) -> None:
    tag = f'<townsquare-room room="{room}" name="Ann"></townsquare-room>'
    page = await open_page(page_with(tag))
    ours, state = page.locator("townsquare-room"), page.locator("townsquare-room .state")
    await expect(state).to_have_text("Live")
    user_id = await ours.evaluate("room => room.client.userId")
    client = await ours.evaluate_handle("room => room.client")

    await ours.evaluate("room => room.setAttribute('room', room.getAttribute('room'))")
    assert await ours.evaluate("(room, client) => room.client === client", client)
    await ours.evaluate("room => room.setAttribute('room', `${room.getAttribute('room')}-2`)")
    await expect(ours.get_by_role("heading")).to_have_text(f"#{room}-2")
    await expect(state).to_have_text("Live")
    await ours.evaluate("room => document.body.append(room)")
    await expect(state).to_have_text("Live")

    assert await ours.evaluate("room => room.client.userId") == user_id
    await ours.evaluate("room => room.setAttribute('room', 'no room')")
    await expect(ours).to_contain_text("This room doesn\u2019t exist or is private.")
    await expect(ours.get_by_label("Message", exact=True)).to_be_disabled()


async def test_two_elements_share_one_connection(open_page: OpenPage, room: str) -> None:
    tags = "".join(
        f'<townsquare-room room="{name}" name="Ann"></townsquare-room>'
        for name in (room, f"{room}-2")
    )
    page = await open_page("<!doctype html><title>Empty</title>")
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    await page.evaluate("html => { document.body.innerHTML = html; }", tags)
    await page.evaluate("import('/assets/townsquare-elements.js')")
    for n in range(2):
        await expect(page.locator(".state").nth(n)).to_have_text("Live")

    await page.evaluate("document.body.replaceChildren()")

    assert len(sockets) == 1


async def test_the_stream_element_shows_a_value_and_its_line(open_page: OpenPage) -> None:
    tag = '<townsquare-stream stream="stock-prices" value="symbols.AAPL.price"></townsquare-stream>'
    page = await open_page(page_with(tag))
    ours = page.locator("townsquare-stream")

    await expect(ours.get_by_role("heading")).to_have_text("Stock prices")
    await expect(ours.locator(".value")).to_have_text(re.compile(r"^\d+(\.\d+)?$"))
    await expect(ours.locator(".age")).to_have_text("live")
    points = "line => line.getAttribute('points').split(' ').length"
    await expect(ours.locator("polyline")).to_have_attribute("points", re.compile(" .* "))
    assert await ours.locator("polyline").evaluate(points) >= 3
    await page.screenshot(path=ROOT / "tests/output/stream-element.png")


async def test_the_elements_are_accessible_and_use_the_colours_of_the_page(
    open_page: OpenPage, post: Post, room: str
) -> None:
    await post(f"/api/rooms/{room}/message", {"from": "bob", "content": "Hello"})
    tags = (
        f'<townsquare-room room="{room}" name="Ann"></townsquare-room>'
        '<townsquare-stream stream="system-metrics" value="cpu_percent"></townsquare-stream>'
    )
    page = await open_page(page_with(tags), bypass_csp=True)
    ours = page.locator("townsquare-room")
    await expect(ours.get_by_role("listitem")).to_contain_text("Hello")
    await expect(page.locator("townsquare-stream .value")).to_have_text(re.compile(r"\d"))

    assert await find_violations(page) == []
    await page.emulate_media(color_scheme="dark")
    assert await find_violations(page) == []
    await ours.evaluate("room => room.style.setProperty('--townsquare-background', 'rgb(1, 2, 3)')")
    background = "room => getComputedStyle(room).backgroundColor"
    assert await ours.evaluate(background) == "rgb(1, 2, 3)"


async def test_a_rejected_session_is_shown(open_page: OpenPage) -> None:
    tag = '<townsquare-room room="lobby" session="forged"></townsquare-room>'
    page = await open_page(page_with(tag))

    await expect(page.locator("townsquare-room")).to_contain_text("The connection was refused.")
    await expect(page.locator("townsquare-room textarea")).to_be_disabled()


async def test_react_components_show_a_room_and_a_stream(
    enter: Enter, open_page: OpenPage, room: str, tmp_path: Path
) -> None:
    if not (PACKAGE / "node_modules/react").exists():
        pytest.skip("React is not installed: run `make test`, or `npm ci` in clients/javascript")
    outfile = tmp_path / "app.js"
    app = Path(__file__).parent / "react_app.mjs"
    bundle = [node(), "--input-type=module", "-e", BUNDLE, app, outfile, PACKAGE / "src/index.js"]
    await asyncio.to_thread(subprocess.run, bundle, check=True, cwd=PACKAGE)
    html = '<!doctype html><title>App</title><div id="root"></div>'
    html += '<script type="module" src="/script.js"></script>'
    bob = await enter("bob")

    page = await open_page(html, script=outfile.read_text(), query=f"?room={room}&name=ann")

    await expect(page.locator("#state")).to_have_text("live")
    await expect(page.locator("#count")).to_have_text("2")
    await bob.sends("Hello React")
    await expect(page.locator("#messages li")).to_have_text(["Hello React"])
    await page.fill("input", "Hello bob")
    await page.press("input", "Enter")
    await bob.sees("Hello React", "Hello bob")
    await expect(page.locator("#messages li")).to_have_text(["Hello React", "Hello bob"])
    await expect(page.locator("#messages")).to_have_attribute("data-pending", "0")
    price = page.locator("#price")
    await expect(price).to_have_text(re.compile(r"^\d"))
    await expect(price).not_to_have_text(await price.text_content() or "")
    await page.get_by_role("button", name="Other room").click()
    await expect(page.locator("#messages li")).to_have_count(0)
    await expect(page.locator("#count")).to_have_text("1")
