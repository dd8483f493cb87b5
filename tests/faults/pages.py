"""The scenario of the page: two browsers whose sockets, hosts and service fail."""

import asyncio
import itertools

from playwright.async_api import Browser

from realtime.messages import Entry
from tests.browser import install_browser, start_playwright
from tests.faults.scenarios import ReadMessages, Run, scenario
from tests.page.user import User

USERS = ("ann", "bob")
SETTLE_TIMEOUT_MS = 60_000
READ_ROWS = """() => [...document.querySelectorAll("#messages .msg[data-seq]")].map((row) =>
    [Number(row.dataset.seq), row.querySelector(".text").textContent])"""


@scenario("page", "two browsers: sockets cut and half-open, hosts and service killed", 50, 2)
async def break_pages(run: Run) -> None:
    playwright = await run.stack.enter_async_context(start_playwright())
    browser = await playwright.chromium.launch(**install_browser().launch_options())
    run.stack.push_async_callback(browser.close)
    users = [await _open(browser, run, name) for name in USERS]
    run.extra_users = len(users)
    # Opening the pages is no part of the time of the faults.
    run.restart_clock()
    sending = [
        asyncio.create_task(_send(run, user, name)) for user, name in zip(users, USERS, strict=True)
    ]
    faults = itertools.cycle([_cut, _silence, _kill_host, _cut, _kill_service])
    while await run.pause(3.0, 7.0):
        await next(faults)(run)
        run.faults += 1
    sent = [text for texts in await asyncio.gather(*sending) for text in texts]

    async def check(read_messages: ReadMessages) -> list[str]:
        problems = [one for user in users for one in await _compare(user, read_messages)]
        contents = [one.content for one in (await read_messages()).values()]
        return problems + [
            f"{text} is stored {contents.count(text)} times"
            for text in sent
            if contents.count(text) != 1
        ]

    run.checks.append(check)


async def _open(browser: Browser, run: Run, name: str) -> User:
    context = await browser.new_context()
    user = await User.open_page(context, f"{run.world.url}/?room={run.room}")
    await user.join_as(name)
    return user


async def _send(run: Run, user: User, name: str) -> list[str]:
    """Types and sends messages, with or without a connection."""
    sent = []
    while run.goes_on:
        sent.append(f"{name} {len(sent) + 1}")
        await user.sends(sent[-1])
        await run.pause(0.4, 1.5)
    return sent


async def _cut(run: Run) -> None:
    run.world.sockets.cut()


async def _silence(run: Run) -> None:
    """For less time than it takes to notice, or more."""
    run.world.sockets.silence(new=run.world.chance.random() < 0.5)
    await run.pause(5.0, 15.0)
    run.world.sockets.restore()


async def _kill_host(run: Run) -> None:
    await run.world.kill(run.world.chance.choice(run.world.hosts))


async def _kill_service(run: Run) -> None:
    await run.world.kill(run.world.service)


async def _compare(user: User, read_messages: ReadMessages) -> list[str]:
    """How a page differs from the history; it gets the time to send and to catch up."""
    deadline = asyncio.get_running_loop().time() + SETTLE_TIMEOUT_MS / 1000
    while True:
        problems = await _find_differences(user, await read_messages())
        if not problems or asyncio.get_running_loop().time() > deadline:
            return problems
        await asyncio.sleep(0.5)


async def _find_differences(user: User, messages: dict[int, Entry]) -> list[str]:
    rows = await user.page.evaluate(READ_ROWS)
    shown = dict(rows)
    first = min(shown, default=0)
    wanted = {seq: one for seq, one in messages.items() if seq >= first}
    problems = [
        f"the page has {shown.get(seq)!r} for {wanted.get(seq)}"
        for seq in shown.keys() | wanted.keys()
        if seq not in shown
        or seq not in wanted
        or (not wanted[seq].deleted and shown[seq] != wanted[seq].content)
    ]
    if [seq for seq, _ in rows] != sorted(shown):
        problems.append("the rows of the page are not in order, or one is there twice")
    for selector, what in ((".msg.pending", "not confirmed"), (".delivery.failed", "not sent")):
        if count := await user.page.locator(selector).count():
            problems.append(f"{count} messages of the page are shown as {what}")
    state = await user.page.locator("#state").text_content()
    return problems if state == "Live" else [*problems, f"the page shows {state}"]
