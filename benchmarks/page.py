"""The page in a real browser: its first load, the time until it is usable, 10,000 messages.

Usable means: connected, the room's messages shown, the message field enabled. A long task is one of
the browser's main thread of more than 50 ms (www.w3.org/TR/longtasks); the page is loaded, a log of
10,000 messages is fetched whole by the Home key, scrolled through, and receives 200 more.
"""

import asyncio
import gzip
import re
import statistics
import sys
import time

import aiohttp
from playwright.async_api import Browser, Page, expect

from benchmarks.servers import stack
from benchmarks.table import Row
from local.parts import ROOT, Stack
from tests.browser import find_browser, start_playwright

MESSAGES = 10_000
BATCH_REQUESTS = 500
LIVE_MESSAGES = 200
RELOADS = 8
RELOAD_INTERVAL_MS = 4_000
"""Below the limit of new connections of a user."""

TIMEOUT_MS = 120_000

WATCH = """
window.longTasks = [0];
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) window.longTasks.push(duration);
}).observe({ type: "longtask", buffered: true });
window.usable = new Promise((resolve) => {
  const isUsable = () =>
    document.getElementById("state")?.textContent === "Live" &&
    !document.getElementById("log-top").textContent.includes("Loading") &&
    !document.getElementById("message-input").disabled;
  const look = () => (isUsable() ? resolve(performance.now()) : setTimeout(look, 4));
  addEventListener("DOMContentLoaded", look);
});
"""

SCROLL_UP = """async () => {
  const log = document.getElementById("log");
  for (let step = 0; step < 600; step++) {
    log.scrollTop -= 900;
    await new Promise(requestAnimationFrame);
  }
}"""


async def run() -> list[Row]:
    installed = find_browser()
    if installed is None:
        print("without a browser: python -m tests.browser installs one", file=sys.stderr)
        return []
    weight = Row("page: first load, compressed", weigh() / 1024, "KB")
    with stack() as ours:
        async with start_playwright() as playwright:
            browser = await playwright.chromium.launch(**installed.launch_options())
            loads = await measure_loads(browser, ours)
            long_log = await measure_long_log(browser, ours)
            await browser.close()
            return [weight, *loads, *long_log]


def weigh() -> int:
    """The bytes of the document and of the files that it names, without icons, in gzip."""
    dist = ROOT / "web/dist"
    document = dist / "index.html"
    named = set(re.findall(r'(?:href|src)="/assets/([^"]+)"', document.read_text()))
    files = [document, *(dist / name for name in named if "icon" not in name)]
    return sum(len(gzip.compress(file.read_bytes())) for file in files)


async def open_page(browser: Browser, url: str) -> Page:
    """A page of a new guest, who has entered a name."""
    page = await browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(TIMEOUT_MS)
    await page.add_init_script(WATCH)
    await page.goto(url)
    await page.fill("#name", "bench")
    return page


async def measure_loads(browser: Browser, ours: Stack) -> list[Row]:
    page = await open_page(browser, ours.url)
    started = time.perf_counter()
    await page.click("#name-form button")
    await page.evaluate("window.usable")
    joined = (time.perf_counter() - started) * 1000
    times = []
    for _ in range(RELOADS):
        await page.wait_for_timeout(RELOAD_INTERVAL_MS)
        await page.reload()
        times.append(await page.evaluate("window.usable"))
    await page.close()
    return [
        Row("page: from the name of a new guest until usable", joined, "ms"),
        Row("page: from a reload until usable", statistics.median(times), "ms"),
    ]


async def measure_long_log(browser: Browser, ours: Stack) -> list[Row]:
    room = f"bench-page-{time.time_ns()}"
    connector = aiohttp.TCPConnector(limit=48)
    async with aiohttp.ClientSession(ours.url, connector=connector) as http:

        async def post(number: int) -> None:
            text = f"Message {number} with `code` and https://example.com/ " + "words " * (
                number % 40
            )
            body = {"from": f"user{number % 9}", "content": text}
            async with http.post(f"/api/rooms/{room}/message", json=body) as response:
                response.raise_for_status()

        for first in range(0, MESSAGES, BATCH_REQUESTS):
            await asyncio.gather(*map(post, range(first, first + BATCH_REQUESTS)))
        page = await open_page(browser, f"{ours.url}/?room={room}")
        await page.click("#name-form button")
        await page.evaluate("window.usable")
        await page.evaluate("window.longTasks.length = 1")
        await page.focus("#log")
        started = time.perf_counter()
        await page.keyboard.press("Home")
        beginning = expect(page.locator("#log-top"))
        await beginning.to_contain_text("This is the beginning", timeout=TIMEOUT_MS)
        fetched = time.perf_counter() - started
        await page.keyboard.press("End")
        await page.evaluate(SCROLL_UP)
        await page.click("#newest")
        await asyncio.gather(*map(post, range(MESSAGES, MESSAGES + LIVE_MESSAGES)))
        last = page.locator("#messages .msg").last
        await expect(last).to_contain_text(re.compile(r"Message 10\d\d\d"), timeout=TIMEOUT_MS)
    longest = await page.evaluate("Math.max(...window.longTasks)")
    await page.close()
    return [
        Row(f"page: fetching and showing {MESSAGES:,} messages", fetched, "s"),
        Row(f"page: longest task with {MESSAGES:,} messages", longest, "ms"),
    ]
