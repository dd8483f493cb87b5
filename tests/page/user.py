"""A user of the page: actions and assertions."""

import json
import os
from pathlib import Path
from typing import Any, Self

from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.users import SECOND

OUTPUT = Path(__file__).parent.parent / "output"
NETWORK = Path(__file__).parent / "network.js"
WITHIN = 30_000 * SECOND
"""How long, in milliseconds, an assertion waits."""


class User:
    """One tab. The errors of its console are stored in `console_errors`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.console_errors: list[str] = []
        page.set_default_timeout(WITHIN)
        page.on("pageerror", lambda error: self.console_errors.append(str(error)))
        page.on("console", self._listen)

    def _listen(self, message: Any) -> None:
        lost = ("WebSocket connection", "Failed to load resource")  # expected without a network
        if message.type in {"error", "warning"} and not message.text.startswith(lost):
            self.console_errors.append(message.text)

    @classmethod
    async def open_page(cls, context: BrowserContext, url: str, *, clock: bool = False) -> Self:
        """Opens the page; with `clock`, a test can advance its clock."""
        user = cls(await context.new_page())
        await user.page.add_init_script(path=NETWORK)
        if clock:
            await user.page.clock.install()
        await user.page.goto(url)
        return user

    async def join_as(self, name: str) -> None:
        await self.page.fill("#name", name)
        await self.page.locator("#name-form button").click()
        await self.is_live()
        await self.has_loaded()

    # --- actions ----------------------------------------------------------------------------

    async def sends(self, text: str) -> None:
        await self.page.fill("#message-input", text)
        await self.page.press("#message-input", "Enter")

    async def opens_room(self, room: str) -> None:
        await self.page.fill("#join-name", room)
        await self.page.press("#join-name", "Enter")
        await expect(self.page.locator("#room-title")).to_have_text(f"#{room}")
        await self.has_loaded()

    async def signs_out(self) -> None:
        await self.page.locator("#sign-out").click()
        await self.page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
        await expect(self.page.locator("#name-form")).to_be_visible()

    async def cuts_network(self) -> None:
        """Closes the socket as a lost network does, and blocks new ones."""
        await self.page.evaluate("window.network.cut()")

    async def restores_network(self, *, after_long: bool = False) -> None:
        """Allows new sockets. With `after_long` the old connection cannot be recovered."""
        await self.page.evaluate("afterLong => window.network.restore(afterLong)", after_long)

    async def silences_network(self, *, new_sockets: bool = False) -> None:
        """Open sockets stay open and transfer nothing."""
        await self.page.evaluate("all => window.network.silence(all)", new_sockets)

    async def screenshot(self, name: str) -> None:
        """Stores a picture in tests/output where $SCREENSHOTS is set: each takes a while."""
        if "SCREENSHOTS" not in os.environ:
            return
        OUTPUT.mkdir(exist_ok=True)
        await self.page.screenshot(path=OUTPUT / f"{name}.png")

    # --- assertions -------------------------------------------------------------------------

    @property
    def texts(self) -> Locator:
        """The texts of the messages in the conversation, from top to bottom."""
        return self.page.locator("#messages .msg .text")

    def stream(self, name: str) -> Locator:
        return self.page.locator(f'[data-stream="{name}"]')

    async def sees(self, *texts: str) -> None:
        """The last messages of the conversation are these."""
        await expect(self.texts.last).to_have_text(texts[-1], timeout=WITHIN)
        assert (await self.texts.all_text_contents())[-len(texts) :] == list(texts)

    async def has_loaded(self) -> None:
        await expect(self.page.locator("#log-top")).not_to_contain_text("Loading", timeout=WITHIN)

    async def is_live(self) -> None:
        await self.has_state("Live")

    async def has_state(self, state: str) -> None:
        await expect(self.page.locator("#state")).to_have_text(state, timeout=2 * WITHIN)

    async def is_notified(self, sentence: str) -> None:
        await expect(self.page.locator("#notice")).to_contain_text(sentence, timeout=2 * WITHIN)

    async def user_id(self) -> str:
        """The user id that the page has stored in the browser."""
        stored = await self.page.evaluate("localStorage.getItem('townsquare.session')")
        return str(json.loads(stored)["user_id"])
