"""A browser in front of the stack: `ann = await enter("ann")`."""

import os
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, ViewportSize, expect

from local.parts import ROOT, Stack, node
from tests.browser import find_browser, start_playwright
from tests.page.participant import Participant
from tests.page.user import WITHIN, User
from tests.users import User as ApiUser

Enter = Callable[..., Awaitable[User]]
Join = Callable[[str], Awaitable[Participant]]
Post = Callable[[str, dict[str, Any]], Awaitable[Any]]
WIDE = ViewportSize(width=1440, height=900)


@pytest.fixture(scope="session", autouse=True)
def page_built() -> None:
    """Builds the page from its sources. `make test` does it before it starts parallel workers."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    if not (ROOT / "web/node_modules").exists():
        pytest.skip("the page's tools are not installed: run `make test`, or `npm ci` in web/")
    subprocess.run([node(), ROOT / "web/build.mjs"], check=True, stdout=subprocess.DEVNULL)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests. Without one they are skipped, and in CI they fail."""
    if (installed := find_browser()) is None:
        reason = "no Chromium, Chrome or Edge: run `make test`, or set CHROMIUM to the path of one"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    async with start_playwright() as playwright:
        expect.set_options(timeout=WITHIN)
        browser = await playwright.chromium.launch(**installed.launch_options())
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def enter(browser: Browser, stack: Stack, room: str) -> AsyncIterator[Enter]:
    """Opens the page for a user with an own browser context, in the test's room.

    At the end no console may have an error or a violation of the security policy.
    """
    contexts = []
    users: list[User] = []

    async def enter(
        name: str, query: str = "", *, clock: bool = False, **browser_traits: Any
    ) -> User:
        context = await browser.new_context(**{"viewport": WIDE, **browser_traits})
        contexts.append(context)
        user = await User.open_page(context, f"{stack.url}/?room={room}{query}", clock=clock)
        users.append(user)
        await user.join_as(name)
        return user

    yield enter
    for context in contexts:
        await context.close()
    assert [error for user in users for error in user.console_errors] == []


@pytest_asyncio.fixture(loop_scope="session")
async def join(stack: Stack, room: str) -> AsyncIterator[Join]:
    """Connects a user without a page, in the test's room: `bob = await join("bob")`."""
    async with AsyncExitStack() as open_connections:
        http = await open_connections.enter_async_context(aiohttp.ClientSession())

        async def join(name: str) -> Participant:
            user = await ApiUser.create(http, stack.url, name)
            connection = await open_connections.enter_async_context(user.connect(room))
            return Participant(user, connection, room)

        yield join


@pytest.fixture
def room() -> str:
    """A room that only this test uses."""
    return f"room-{uuid.uuid4().hex[:8]}"


@pytest_asyncio.fixture(loop_scope="session")
async def post(stack: Stack) -> AsyncIterator[Post]:
    """A server that posts to the app: `await post("/api/publish", {...})`."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as http:

        async def post(path: str, body: dict[str, Any]) -> Any:
            async with http.post(f"{stack.url}{path}", json=body) as response:
                assert response.status == 200, await response.text()
                return await response.json()

        yield post
