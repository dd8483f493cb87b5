"""Appearance, accessibility and size of the page, on small and large screens, light and dark."""

import gzip
import math
import re
from collections.abc import Container, Sequence
from itertools import product
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, expect

from local.parts import ROOT, Stack
from tests.page.conftest import WIDE, Enter, Post
from tests.page.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
SIZES: dict[str, dict[str, Any]] = {
    "phone": PHONE,
    "tablet": {"viewport": {"width": 900, "height": 1100}},
    "wide": {"viewport": WIDE},
}
PANELS = {"phone": ("conversation", "sidebar", "streams")}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
FIRST_LOAD = 75 * 1024
USABLE_MS = 3_000
MAX_RELOADS = 8
SERIOUS = ("serious", "critical")
RULES: dict[str, tuple[str, ...]] = {"light": (), "dark": ("color-contrast", "link-in-text-block")}
"""The rules of axe for a theme; none means all. Themes differ only in their colours."""

AXE = ROOT / "web/node_modules/axe-core/axe.min.js"


@pytest.mark.parametrize("size", SIZES)
async def test_nothing_overflows_and_axe_finds_nothing_serious(
    enter: Enter, post: Post, room: str, size: str
) -> None:
    traits: dict[str, Any] = {**SIZES[size], "bypass_csp": True}  # for the injected axe script
    ann = await enter("ann", **traits)
    plan = {"from": "bob", "content": "Good morning! See https://example.com for the plan."}
    await post(f"/api/rooms/{room}/message", plan)
    await ann.sees(plan["content"])
    await ann.sends("Thank you")
    await expect(ann.page.locator(".msg.own")).to_have_class("msg own leads")

    for panel, scheme in product(PANELS.get(size, ("conversation",)), SCHEMES):
        if size == "phone":
            await ann.page.locator(f'.panels [data-show="{panel}"]').click()
        await ann.page.emulate_media(color_scheme=scheme)
        await ann.screenshot(f"{size}-{scheme}-{panel}")
        assert await ann.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await find_violations(ann.page, rules=RULES[scheme]) == []


async def test_the_name_form_is_accessible_and_enter_joins(browser: Browser, stack: Stack) -> None:
    context = await browser.new_context(viewport=WIDE, bypass_csp=True)
    ann = await User.open_page(context, stack.url)
    await expect(ann.page.get_by_label("Your name")).to_be_focused()
    await expect(ann.page.get_by_label("Your name")).not_to_have_value("")
    await ann.screenshot("name-form")
    assert await find_violations(ann.page) == []

    await ann.page.keyboard.press("Enter")

    await ann.is_live()
    await expect(ann.page.locator("#room-title")).to_have_text("#lobby")
    await context.close()


async def test_a_chosen_theme_is_stored(enter: Enter) -> None:
    ann = await enter("ann", color_scheme="light")
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    light = await ann.page.evaluate(paper)

    await ann.page.locator("#open-settings").click()
    await ann.page.get_by_label("Theme").select_option("dark")
    dark = await ann.page.evaluate(paper)
    await ann.page.reload()

    assert dark != light
    assert await ann.page.evaluate(paper) == dark


async def test_no_animation_runs_with_reduced_motion(enter: Enter) -> None:
    ann = await enter("ann", reduced_motion="reduce")

    moving = await ann.page.evaluate("document.getAnimations().length")

    assert moving == 0


async def test_new_messages_are_announced_to_screen_readers(
    enter: Enter, post: Post, room: str
) -> None:
    ann = await enter("ann")

    await post(f"/api/rooms/{room}/message", {"from": "bob", "content": "Can you hear this?"})

    await expect(ann.page.locator("#announcements")).to_have_text("bob: Can you hear this?")
    await expect(ann.page.get_by_role("navigation", name="Rooms and people")).to_be_visible()
    await expect(ann.page.get_by_role("main", name="#room")).to_be_visible()
    await expect(ann.page.get_by_role("complementary", name="Live data")).to_be_visible()
    await expect(ann.page.get_by_role("status").filter(has_text="Live")).to_be_visible()


async def test_the_page_is_small_and_loads_fast(browser: Browser, stack: Stack) -> None:
    dist = ROOT / "web/dist"
    document = (dist / "index.html").read_text()
    named = set(re.findall(r'(?:href|src)="/assets/([^"]+)"', document))
    first = [dist / "index.html", *(dist / name for name in named if "icon" not in name)]
    weight = sum(len(gzip.compress(file.read_bytes())) for file in first)
    assert {"app.js", "app.css", "start.js"} <= named
    assert weight < FIRST_LOAD
    context = await browser.new_context(viewport=WIDE)
    elsewhere: list[str] = []
    context.on("request", lambda request: elsewhere.append(request.url))
    ann = await User.open_page(context, stack.url)
    await ann.join_as("ann")

    # From a reload to a connection with its room: 0.4 s on two busy cores. More is allowed here,
    # and a machine that is busy with something else has further attempts.
    fastest = math.inf
    for _ in range(MAX_RELOADS):
        await ann.page.reload()
        await ann.is_live()
        await expect(ann.page.locator("#log-top")).not_to_contain_text("Loading")
        fastest = min(fastest, await ann.page.evaluate("performance.now()"))
        if fastest < USABLE_MS:
            break
    assert fastest < USABLE_MS
    assert [url for url in elsewhere if not url.startswith((stack.url, "data:"))] == []
    await context.close()


async def find_violations(
    page: Page, *, impacts: Container[str] = SERIOUS, rules: Sequence[str] = ()
) -> list[str]:
    """The violations of these impacts that axe finds, of all rules or of these."""
    if await page.evaluate("typeof axe") == "undefined":
        await page.add_script_tag(path=AXE)
    options = {"runOnly": {"type": "rule", "values": [*rules]}} if rules else {}
    # What axe finds in order is many times as large: it is neither described nor transferred.
    find = (
        "async options => (await axe.run({ ...options, resultTypes: ['violations'] })).violations"
    )
    return [
        f"{one['id']}: {one['help']} {[node['target'] for node in one['nodes']]}"
        for one in await page.evaluate(find, options)
        if one["impact"] in impacts
    ]
