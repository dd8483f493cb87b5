"""A long history: scrolling up without jumps, with a bounded number of elements."""

from asyncio import gather

import pytest
from playwright.async_api import expect

from tests.page.conftest import Enter, Post

pytestmark = pytest.mark.asyncio(loop_scope="session")

MANY = 800
"""Enough for eight pages of the history. 10,000 behave the same and take a minute."""

MOST_ROWS = 250
"""The most rows in the page, independent of the length of the history."""

SCROLL_UP = """async () => {
    const log = document.querySelector("#log");
    const frame = () => new Promise(requestAnimationFrame);
    const rows = () => [...document.querySelectorAll("#messages [data-seq]")];
    let [jumps, most] = [0, 0];
    for (let still = 0; still < 40; ) {
        const seen = rows().find((row) => row.getBoundingClientRect().bottom > 200);
        const [seq, bottom] = [seen.dataset.seq, seen.getBoundingClientRect().bottom];
        const step = Math.min(log.scrollTop, 700);
        log.scrollTop -= step;
        await frame();
        await frame();
        const now = rows().find((row) => row.dataset.seq === seq);
        if (now && Math.abs(now.getBoundingClientRect().bottom - bottom - step) > 2) jumps += 1;
        most = Math.max(most, document.querySelectorAll("#messages > li").length);
        still = step ? 0 : still + 1;
    }
    return { jumps, most, first: Number(rows()[0].dataset.seq) };
}"""


async def test_scrolling_up_a_long_history_does_not_move_the_visible_rows(
    enter: Enter, post: Post, room: str
) -> None:
    await write_messages(post, room, MANY)
    ann = await enter("ann")
    await expect(ann.texts.last).to_have_text(str(MANY))

    scrolled = await ann.page.evaluate(SCROLL_UP)

    assert scrolled["first"] == 1
    assert scrolled["jumps"] == 0
    assert scrolled["most"] < MOST_ROWS
    await expect(ann.page.locator("#log-top")).to_contain_text("This is the beginning")
    await ann.screenshot("beginning-of-a-long-history")

    await ann.page.locator("#newest").click()
    await expect(ann.texts.last).to_have_text(str(MANY))


async def test_a_new_message_does_not_scroll_a_user_who_reads_older_ones(
    enter: Enter, post: Post, room: str
) -> None:
    await write_messages(post, room, 60)
    ann = await enter("ann")
    await ann.page.locator("#log").evaluate("log => { log.scrollTop -= 900; }")
    await expect(ann.page.locator("#newest")).to_be_visible()
    await expect(ann.page.locator("#log-top")).to_contain_text("This is the beginning")
    read = ann.page.get_by_text("Message 40", exact=True)
    before = await read.bounding_box()

    await post(f"/api/rooms/{room}/message", {"content": "Something new"})

    await expect(ann.page.locator("#newest")).to_have_text("1 new message")
    assert await read.bounding_box() == before
    await ann.page.locator("#newest").click()
    await ann.sees("60", "Something new")


async def test_a_screen_higher_than_the_newest_page_is_filled(
    enter: Enter, post: Post, room: str
) -> None:
    await write_messages(post, room, 120)

    ann = await enter("ann", viewport={"width": 1440, "height": 2560})

    await expect(ann.texts).to_have_count(120)
    await expect(ann.page.locator("#log-top")).to_contain_text("This is the beginning")
    await expect(ann.texts.last).to_be_in_viewport()


async def write_messages(post: Post, room: str, count: int) -> None:
    """Sends this many messages as a server, in the order of their numbers."""
    for first in range(1, count, 500):
        numbers = range(first, min(first + 500, count))
        await gather(
            *(post(f"/api/rooms/{room}/message", {"content": f"Message {n}"}) for n in numbers)
        )
    await post(f"/api/rooms/{room}/message", {"content": str(count)})
