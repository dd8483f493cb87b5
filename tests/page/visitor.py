"""A person at the page: what they do, and what they see."""

import json
from pathlib import Path
from typing import Any, Self

from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.people import SECOND

OUTPUT = Path(__file__).parent.parent / "output"
NETWORK = Path(__file__).parent / "network.js"
WITHIN = 10_000 * SECOND
"""How long, in milliseconds, somebody waits for what they should see."""


class Visitor:
    """One tab. What its console complains about is kept in `complaints`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.set_default_timeout(WITHIN)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._listen)
        page.on("dialog", lambda dialog: self.complaints.append(f"a dialog: {dialog.message}"))

    def _listen(self, message: Any) -> None:
        lost = ("WebSocket connection", "Failed to load resource")  # cut networks may say so
        if message.type in {"error", "warning"} and not message.text.startswith(lost):
            self.complaints.append(message.text)

    @classmethod
    async def arrive(cls, context: BrowserContext, url: str, *, clock: bool = False) -> Self:
        """Opens the page; with `clock`, in a time that a test can move."""
        visitor = cls(await context.new_page())
        await visitor.page.add_init_script(path=NETWORK)
        if clock:
            await visitor.page.clock.install()
        await visitor.page.goto(url)
        return visitor

    async def come_in(self, name: str) -> None:
        await self.page.fill("#name", name)
        await self.page.get_by_role("button", name="Come in").click()
        await self.is_live()
        await self.is_in_the_room()

    # --- what they do -----------------------------------------------------------------------

    async def says(self, text: str) -> None:
        await self.page.fill("#words", text)
        await self.page.press("#words", "Enter")

    async def goes_to(self, room: str) -> None:
        await self.page.fill("#join-name", room)
        await self.page.press("#join-name", "Enter")
        await expect(self.page.locator("#room-title")).to_have_text(f"#{room}")
        await self.is_in_the_room()

    async def cuts_the_network(self) -> None:
        """Closes the socket as a lost network does, and lets no new one through."""
        await self.page.evaluate("window.network.cut()")

    async def mends_the_network(self, *, after_long: bool = False) -> None:
        """Sockets can be opened again; after long, the service knows the old connection no more."""
        await self.page.evaluate("afterLong => window.network.mend(afterLong)", after_long)

    async def loses_its_frames(self) -> None:
        """The sockets of now stay open, and nothing comes through them any more."""
        await self.page.evaluate("window.network.swallow()")

    async def picture(self, name: str) -> None:
        OUTPUT.mkdir(exist_ok=True)
        await self.page.screenshot(path=OUTPUT / f"{name}.png")

    # --- what they see ----------------------------------------------------------------------

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

    async def is_in_the_room(self) -> None:
        await expect(self.page.locator("#log-top")).not_to_contain_text("Fetching", timeout=WITHIN)

    async def is_live(self) -> None:
        await self.has_state("Live")

    async def has_state(self, state: str) -> None:
        await expect(self.page.locator("#state")).to_have_text(state, timeout=4 * WITHIN)

    async def is_told(self, sentence: str) -> None:
        await expect(self.page.locator("#notice")).to_contain_text(sentence, timeout=4 * WITHIN)

    async def user_id(self) -> str:
        """Who they are, as the page keeps it in this browser."""
        kept = await self.page.evaluate("localStorage.getItem('townsquare.session')")
        return str(json.loads(kept)["user_id"])
