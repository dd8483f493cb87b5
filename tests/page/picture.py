"""Takes the picture of the README: `python -m tests.page.picture` writes docs/townsquare.png.

Two people talk while the streams run. The weather is posted by hand, so that no network is needed.
"""

import asyncio
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from playwright.async_api import Browser, ViewportSize

from local.parts import ROOT, Desk, Ports, node, start_desk
from tests.browser import install_browser, start_playwright
from tests.page.user import User

PICTURE = ROOT / "docs/townsquare.png"
SIZE = ViewportSize(width=1440, height=900)
WATCHED_SECONDS = 90
"""So long the lines grow before the picture is taken."""

TALK = [
    ("ann", "Good morning! The market opens at ten on Saturday. Who brings the tables?"),
    ("bob", "I do, six of them. And the awning, since it may rain."),
    ("bob", "The plan is here: https://example.org/market-day"),
    ("ann", "Wonderful. I put the stall numbers into the room market-day."),
    ("cleo", "Can somebody meet the baker at seven?"),
    ("ann", "I will be there. Coffee is on me."),
]
CITIES = [
    ("London", 9.4, 81, 19, "Light rain", 61),
    ("New York", 14.2, 55, 12, "Partly cloudy", 2),
    ("Tokyo", 17.8, 48, 8, "Clear sky", 0),
]


async def main() -> None:
    if (installed := install_browser()) is None:
        sys.exit("There is no browser to take the picture with.")
    settings = {"WEATHER_SCHEDULE": "0 0 0 1 1 *", "METRICS_SCHEDULE": "* * * * * *"}
    with tempfile.TemporaryDirectory() as data:
        desk = start_desk(Ports.free(), Path(data), keep=False, settings=settings)
        try:
            desk.wait()
            async with start_playwright() as playwright:
                browser = await playwright.chromium.launch(**installed.launch_options())
                await take(browser, desk)
                await browser.close()
        finally:
            desk.stop()
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size // 1024} KB")


async def take(browser: Browser, desk: Desk) -> None:
    people = {name: await enter(browser, desk, name) for name in ("ann", "bob", "cleo")}
    ann = people["ann"]
    await ann.opens_room("market-day")
    await ann.page.locator('#rooms .item[title="lobby"]').click()
    await post_weather(desk)
    await asyncio.sleep(WATCHED_SECONDS)
    for name, text in TALK:
        await people[name].sends(text)
        await ann.sees(text)
    await people["bob"].opens_room("market-day")
    await people["bob"].sends("Stall 7 is free again.")
    await people["cleo"].page.locator("#message-input").press_sequentially("I can help", delay=400)
    await ann.page.get_by_text("cleo is typing").wait_for()
    await ann.page.screenshot(path=PICTURE)


async def enter(browser: Browser, desk: Desk, name: str) -> User:
    context = await browser.new_context(viewport=SIZE, color_scheme="light")
    user = await User.open_page(context, desk.url)
    await user.join_as(name)
    return user


async def post_weather(desk: Desk) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    names = ("city", "temperature_c", "humidity_percent", "wind_kph", "condition", "code")
    fresh = {"observed_at": now, "stale": False, "age_seconds": 0}
    cities = [{**dict(zip(names, city, strict=True)), **fresh} for city in CITIES]
    frame = {
        "type": "weather_update", "stream": "weather", "tick": 1, "timestamp": now,
        "stale": False, "full": True, "data": {"source": "open-meteo", "cities": cities},
    }  # fmt: skip
    async with aiohttp.ClientSession() as http:
        url = f"{desk.url}/api/publish?group=weather"
        async with http.post(url, json=frame) as answer:
            answer.raise_for_status()


if __name__ == "__main__":
    subprocess.run([node(), ROOT / "web/build.mjs"], check=True, stdout=subprocess.DEVNULL)
    asyncio.run(main())
