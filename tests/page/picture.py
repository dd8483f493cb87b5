"""Makes the README's animated picture: `python -m tests.page.picture` writes docs/townsquare.webp.

Two real windows are in one room. The right one loses its network, both users continue to write, the
network returns, and both windows show the same messages.
"""

import asyncio
import io
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from playwright.async_api import Browser, ViewportSize, expect

from local.parts import ROOT, Ports, Stack, node, start_stack
from tests.browser import install_browser, start_playwright
from tests.page.user import User

PICTURE = ROOT / "docs/townsquare.webp"
SIZE = ViewportSize(width=460, height=640)
GAP, CAPTION_HEIGHT = 12, 44
PAPER, INK, ALARM = "#e8e4da", "#2b2a27", "#a33a1e"
TYPING_STEP = 5
"""How many characters are typed between two frames."""

NEVER = "0 0 0 1 1 *"
SETTINGS = {"WEATHER_SCHEDULE": NEVER, "METRICS_SCHEDULE": NEVER, "STOCKS_SCHEDULE": NEVER}


@dataclass
class Film:
    """Frames of two windows side by side, each with its duration in milliseconds."""

    left: User
    right: User
    caption: str = ""
    is_cut: bool = False
    frames: list[Image.Image] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)

    async def shoot(self, duration_ms: int) -> None:
        shots = await asyncio.gather(self.left.page.screenshot(), self.right.page.screenshot())
        self.frames.append(self._compose([Image.open(io.BytesIO(shot)) for shot in shots]))
        self.durations.append(duration_ms)

    def _compose(self, windows: list[Image.Image]) -> Image.Image:
        width = sum(one.width for one in windows) + 3 * GAP
        height = windows[0].height + CAPTION_HEIGHT + GAP
        frame = Image.new("RGB", (width, height), PAPER)
        color = ALARM if self.is_cut else INK
        font = ImageFont.load_default(size=20)
        ImageDraw.Draw(frame).text(
            (width / 2, CAPTION_HEIGHT / 2), self.caption, fill=color, font=font, anchor="mm"
        )
        x = GAP
        for window, cut in zip(windows, (False, self.is_cut), strict=True):
            frame.paste(window, (x, CAPTION_HEIGHT))
            if cut:
                edge = (x, CAPTION_HEIGHT, x + window.width - 1, CAPTION_HEIGHT + window.height - 1)
                ImageDraw.Draw(frame).rectangle(edge, outline=ALARM, width=3)
            x += window.width + GAP
        return frame

    async def write(self, user: User, text: str) -> None:
        """Type and send a message, with frames of the typing."""
        for end in range(TYPING_STEP, len(text) + TYPING_STEP, TYPING_STEP):
            await user.page.fill("#message-input", text[:end])
            await self.shoot(120)
        await user.page.press("#message-input", "Enter")
        await expect(user.texts.last).to_have_text(text)
        await self.shoot(500)

    def save(self) -> None:
        first, *others = self.frames
        first.save(
            PICTURE,
            save_all=True,
            append_images=others,
            duration=self.durations,
            loop=0,
            quality=80,
            method=6,
        )


async def main() -> None:
    if (installed := install_browser()) is None:
        sys.exit("There is no browser to take the picture with.")
    with tempfile.TemporaryDirectory() as data:
        stack = start_stack(Ports.free(), Path(data), keep=False, settings=SETTINGS)
        try:
            stack.wait()
            async with start_playwright() as playwright:
                browser = await playwright.chromium.launch(**installed.launch_options())
                film = await record(browser, stack)
                await browser.close()
        finally:
            stack.stop()
    film.save()
    seconds = sum(film.durations) / 1000
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size // 1024} KB, {seconds:.0f} s")


async def record(browser: Browser, stack: Stack) -> Film:
    ann, bob = await enter(browser, stack, "Ann"), await enter(browser, stack, "Bob")
    film = Film(ann, bob, "Two windows in one room")
    await film.shoot(900)
    await film.write(ann, "Good morning! Who brings the tables?")
    await bob.sees("Good morning! Who brings the tables?")
    await film.write(bob, "I do, six of them.")
    await ann.sees("I do, six of them.")
    await film.shoot(900)

    await bob.cuts_network()
    await bob.has_state("Reconnecting")
    film.caption, film.is_cut = "The window on the right has no network", True
    await film.shoot(1500)
    await film.write(ann, "The market opens at ten.")
    await film.write(bob, "And the awning, since it may rain.")
    await film.write(ann, "Can somebody meet the baker at seven?")
    await film.shoot(1500)

    await bob.restores_network(after_long=True)
    await bob.is_live()
    film.caption, film.is_cut = "The network is back", False
    await film.shoot(600)
    await ann.sees("And the awning, since it may rain.")
    await expect(bob.texts).to_have_count(5)
    await expect(bob.page.locator("#messages .pending")).to_have_count(0)
    texts = await ann.texts.all_text_contents()
    assert await bob.texts.all_text_contents() == texts
    film.caption = "Both windows: the same messages, in the same order"
    await film.shoot(4000)
    return film


async def enter(browser: Browser, stack: Stack, name: str) -> User:
    context = await browser.new_context(viewport=SIZE, color_scheme="light")
    user = await User.open_page(context, stack.url)
    await user.join_as(name)
    return user


if __name__ == "__main__":
    subprocess.run([node(), ROOT / "web/build.mjs"], check=True, stdout=subprocess.DEVNULL)
    asyncio.run(main())
