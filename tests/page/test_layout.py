"""The layout of the page: long names, many rooms, narrow screens, few fonts, other themes."""

from asyncio import gather
from collections.abc import Awaitable, Callable
from itertools import product
from typing import Any, Literal

import pytest
from playwright.async_api import Page, expect

from tests.page.conftest import Enter, Join, Post
from tests.page.test_look import RULES, find_violations
from tests.page.test_streams import weather
from tests.page.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG_ROOM = "market-" + "m" * 53
WIDTHS = (320, 390, 768, 1100, 1600)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
OVERFLOW = """[document.documentElement, document.body].flatMap((node) =>
    [node.scrollWidth - innerWidth, node.scrollHeight - innerHeight])"""
WITHOUT_TOOLTIP = """[...document.querySelectorAll("button, a")].filter((node) =>
    node.getClientRects().length && !node.title && !/[\\p{L}\\p{N}]/u.test(node.innerText))
    .map((node) => node.outerHTML)"""
CUT_OFF = """[...document.querySelectorAll("#messages *")].filter((node) =>
    node.getClientRects().length && !node.closest(".visually-hidden") &&
    node.getBoundingClientRect().right > innerWidth).map((node) => node.className)"""

COLLIDING_COLOURS = """(() => {
    const boxOf = (node) => node.getBoundingClientRect();
    const { left, right } = boxOf(document.querySelector(".colours"));
    const boxes = [...document.querySelectorAll(".colours input")].map(boxOf);
    const touches = (a, b) => a !== b && a.top < b.bottom && b.top < a.bottom &&
        Math.abs(a.left - b.left) < a.width + 4;
    const collides = (one) => boxes.some((other) => touches(one, other));
    return boxes.filter((one) => one.left < left || one.right > right || collides(one)).length;
})()"""


@pytest.mark.parametrize("width", WIDTHS)
async def test_no_element_overflows_the_screen(enter: Enter, post: Post, width: int) -> None:
    size: Any = {"viewport": {"width": width, "height": 760}}
    ann = await enter("Ann-with-a-name-of-40-characters-or-so-x", **size)
    if width < 760:
        await ann.page.locator('.panels [data-show="sidebar"]').click()
    await ann.opens_room(LONG_ROOM)
    long_text = "W" * 300 + 60 * "\nline"
    await post(f"/api/rooms/{LONG_ROOM}/message", {"from": "bob", "content": long_text})
    await ann.sends("https://example.com/" + "a" * 200)
    await ann.texts.first.hover()
    await ann.page.locator(".msg .more").first.click()
    await ann.page.get_by_role("menuitem", name="Reply").click()
    await ann.sends("An answer")
    await expect(ann.page.locator(".msg.own .reply")).to_be_visible()

    assert max(await ann.page.evaluate(OVERFLOW)) <= 0
    assert await ann.page.evaluate(CUT_OFF) == []
    send = ann.page.get_by_role("button", name="Send")
    await expect(send).to_be_in_viewport(ratio=1)
    await expect(ann.page.locator("#state")).to_be_in_viewport(ratio=1)
    if width < 760:
        await ann.page.locator('.panels [data-show="sidebar"]').click()
    await ann.page.locator("#user").click()
    assert await ann.page.evaluate(COLLIDING_COLOURS) == 0
    await ann.screenshot(f"profile-{width}")
    await ann.page.keyboard.press("Escape")
    if width < 760:
        await ann.page.locator('.panels [data-show="conversation"]').click()
    for scheme in SCHEMES:
        await ann.page.emulate_media(color_scheme=scheme)
        await ann.screenshot(f"long-names-{width}-{scheme}")
    await ann.page.set_viewport_size({"width": width, "height": 400})
    for panel in ("streams", "sidebar", "conversation") if width < 760 else ():
        await ann.page.locator(f'.panels [data-show="{panel}"]').click()
        assert max(await ann.page.evaluate(OVERFLOW)) <= 0, panel
    assert max(await ann.page.evaluate(OVERFLOW)) <= 0


async def test_stacked_marks_stay_inside_of_their_message(enter: Enter) -> None:
    ann = await enter("ann")
    await ann.sends("A message above")
    await ann.sends("Z" + 300 * "\u0301")
    await expect(ann.page.locator(".msg.own:not(.pending)")).to_have_count(2)
    await ann.page.mouse.move(0, 0)
    above = await ann.texts.first.bounding_box()
    assert above is not None

    drawn = await ann.page.screenshot(clip=above, animations="disabled")
    await ann.screenshot("stacked-marks")
    await ann.texts.last.evaluate("node => { node.style.visibility = 'hidden'; }")

    assert await ann.page.screenshot(clip=above, animations="disabled") == drawn


async def test_the_streams_panel_stays_hidden_after_a_reload(enter: Enter) -> None:
    ann = await enter("ann")
    panel = ann.page.get_by_role("complementary", name="Live data")
    await expect(panel).to_be_visible()

    await ann.page.get_by_role("button", name="Live data").click()
    await expect(panel).to_be_hidden()
    await ann.page.reload()
    await ann.is_live()

    await expect(panel).to_be_hidden()
    await ann.page.locator("#open-settings").click()
    await ann.page.get_by_label("Show live data").check()
    await expect(panel).to_be_visible()


async def test_with_thirty_rooms_unread_rooms_are_listed_first(
    enter: Enter, post: Post, room: str
) -> None:
    ann = await enter("ann")
    rooms = [f"{room}-{n:02}" for n in range(30)]
    for name in rooms:
        await ann.opens_room(name)
    items = ann.page.locator("#rooms .item .label")
    await expect(items).to_have_count(32)

    await post(f"/api/rooms/{rooms[20]}/message", {"content": "News"})

    await expect(items.nth(0)).to_have_text("lobby")
    await expect(items.nth(1)).to_have_text(rooms[20])
    await ann.screenshot("thirty-rooms")

    await ann.page.keyboard.press("Control+k")
    await expect(ann.page.get_by_label("Filter rooms and people")).to_be_focused()
    await ann.page.keyboard.type(f"{room}-07")
    await expect(items).to_have_text([rooms[7]])
    await ann.page.keyboard.press("Enter")
    await expect(ann.page.locator("#room-title")).to_have_text(f"#{rooms[7]}")
    await expect(items).to_have_count(32)

    await ann.page.get_by_role("button", name="Rooms", exact=True).click()
    await expect(items).to_have_text([rooms[20]])  # unread rooms stay
    await ann.page.reload()
    await expect(ann.page.locator("#rooms-title")).to_have_attribute("aria-expanded", "false")


async def test_unread_messages_out_of_view_have_an_indicator(enter: Enter, join: Join) -> None:
    size: Any = {"viewport": {"width": 1200, "height": 420}}
    ann, bob = await gather(enter("ann", **size), join("bob"))
    for n in range(6):
        await ann.opens_room(f"a-room-{n}")
    hint = ann.page.get_by_role("button", name="Unread below")
    await expect(hint).to_be_hidden()

    await bob.sends_directly(await ann.user_id(), "Look down")

    await expect(hint).to_be_visible()
    await hint.click()
    await expect(ann.page.locator("#directs .badge")).to_be_in_viewport()
    await expect(hint).to_be_hidden()


async def test_digits_are_not_rendered_with_an_emoji_font(enter: Enter) -> None:
    """Chromium uses the emoji font for digits if none of the named fonts is installed."""
    ann = await enter("ann")
    await ann.sends("1234567890 #*")
    await expect(ann.page.locator('.msg[data-seq="1"]')).to_be_visible()

    family = await ann.page.evaluate("getComputedStyle(document.documentElement).fontFamily")

    assert "emoji" not in family.lower()
    assert family.rstrip().endswith("sans-serif")
    used = await fonts_of(ann.page, ".msg .text")
    assert used
    assert not [font for font in used if "emoji" in font.lower()]


async def fonts_of(page: Page, selector: str) -> list[str]:
    """The fonts with which the browser renders an element."""
    session = await page.context.new_cdp_session(page)
    await session.send("DOM.enable")
    await session.send("CSS.enable")
    root = (await session.send("DOM.getDocument"))["root"]["nodeId"]
    query = {"nodeId": root, "selector": f"{selector} div"}
    node = (await session.send("DOM.querySelector", query))["nodeId"]
    found = await session.send("CSS.getPlatformFontsForNode", {"nodeId": node})
    return [font["familyName"] for font in found["fonts"]]


def prepare_states(ann: User) -> tuple[Callable[[], Awaitable[None]] | None, ...]:
    """The steps that bring the page from one state into the next."""
    page = ann.page

    async def open_settings() -> None:
        await page.locator("#open-settings").click()

    async def open_menu() -> None:
        await page.keyboard.press("Escape")
        await page.locator(".msg").first.hover()
        await page.get_by_role("button", name="Message actions").first.click()

    async def open_report() -> None:
        await page.get_by_role("menuitem", name="Report").click()

    async def begin_reply() -> None:
        await page.keyboard.press("Escape")
        await open_menu()
        await page.get_by_role("menuitem", name="Reply").click()

    async def open_profile() -> None:
        await page.locator("#user").click()

    async def open_person_menu() -> None:
        await page.keyboard.press("Escape")
        await page.locator("#users .person").last.hover()
        await page.locator("#users .person .more").click()

    async def open_directory() -> None:
        await page.keyboard.press("Escape")
        await page.locator("#browse-rooms").click()
        await expect(page.get_by_text("Loading rooms")).to_have_count(0)

    async def open_sign_out() -> None:
        await page.keyboard.press("Escape")
        await page.locator("#sign-out").click()

    async def lose_connection() -> None:
        await page.keyboard.press("Escape")
        await ann.cuts_network()
        await ann.has_state("Reconnecting")
        await ann.sends("Written without a connection")
        await expect(page.locator(".msg.pending .text").last).to_have_text(
            "Written without a connection"
        )

    return (
        *(None, open_settings, open_menu, open_report, begin_reply, open_profile),
        *(open_person_menu, open_directory, open_sign_out, lose_connection),
    )


async def test_axe_finds_nothing_in_any_state_and_theme(
    enter: Enter, join: Join, post: Post, room: str
) -> None:
    ann, bob = await gather(enter("ann", "&debug", bypass_csp=True), join("bob"))
    await post("/api/publish?group=weather", weather())
    code = "--option value " * 40  # wider than the screen
    text = f"@ann look: `code`, **bold**\n> quote\n- list\n```\n{code}\n```"
    await bob.sends(text, mentions=[await ann.user_id()])
    await expect(ann.texts.last).to_contain_text("@ann look")
    await react_and_reply(ann)
    await ann.sends("\u200b\u200b")  # rejected
    await expect(ann.page.locator(".msg.failed")).to_be_visible()
    await ann.stream("stock-prices").get_by_role("switch").click()
    await expect(ann.stream("stock-prices").locator(".age")).to_contain_text("paused")
    page = ann.page
    for prepare, scheme in product(prepare_states(ann), SCHEMES):
        if prepare and scheme == "light":
            await prepare()
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        impacts = ("minor", "moderate", "serious", "critical")
        found = await find_violations(page, impacts=impacts, rules=RULES[scheme])
        assert found == [], (prepare, scheme)
        assert await page.evaluate(WITHOUT_TOOLTIP) == [], prepare
        await ann.screenshot(f"state-{prepare.__name__ if prepare else 'plain'}-{scheme}")
    assert room


async def react_and_reply(user: User) -> None:
    page = user.page
    first = page.locator(".msg").first
    await first.hover()
    await first.locator(".more").click()
    await page.get_by_label("React with 👍").click()
    await expect(page.locator(".reaction")).to_have_count(1)
    await first.hover()
    await first.locator(".more").click()
    await page.get_by_role("menuitem", name="Reply").click()
    await user.sends("an answer")
    await expect(page.locator(".msg .reply")).to_have_count(1)


async def test_forced_colours_keep_switches_and_bubbles_visible(enter: Enter) -> None:
    ann = await enter("ann", forced_colors="active")
    await ann.sends("Is this visible?")
    switch = ann.stream("stock-prices").get_by_role("switch")
    await expect(switch).to_be_visible()

    style = "(node, name) => getComputedStyle(node)[name]"
    on = await switch.evaluate(style, "backgroundColor")
    await switch.click()
    await expect(switch).to_have_attribute("aria-checked", "false")

    assert await switch.evaluate(style, "backgroundColor") != on
    assert await switch.evaluate(style, "borderTopWidth") != "0px"
    assert await ann.texts.last.evaluate(style, "borderTopStyle") == "solid"
    await ann.screenshot("forced-colours")


async def test_the_page_is_printed_in_the_light_theme_without_controls(enter: Enter) -> None:
    ann = await enter("ann", color_scheme="dark")
    await ann.sends("On paper")
    await ann.sees("On paper")

    await ann.page.emulate_media(media="print")

    paper = "getComputedStyle(document.documentElement).colorScheme"
    assert await ann.page.evaluate(paper) == "light"
    for part in ("#sidebar", "#streams", "#composer", "#state"):
        await expect(ann.page.locator(part)).to_be_hidden()
    await expect(ann.texts.last).to_be_visible()
