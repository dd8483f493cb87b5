"""The page as an app: first paint, icons, manifest, notifications, the debug view."""

import asyncio
import json
from asyncio import gather

import aiohttp
import pytest
from playwright.async_api import Browser, expect

from local.parts import Stack
from tests.page.conftest import WIDE, Enter, Join, Post
from tests.page.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")

# A headless browser shows no notifications; these are stored instead.
NOTIFICATIONS = """() => {
window.shown = [];
window.Notification = class {
    static permission = "default";
    static async requestPermission() { return (this.permission = "granted"); }
    constructor(title, options) { window.shown.push([title, options.body]); }
    close() {}
};
}"""
HIDE = """() => {
    Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


async def test_the_name_form_is_visible_before_any_script_has_run(
    browser: Browser, stack: Stack
) -> None:
    context = await browser.new_context(viewport=WIDE, java_script_enabled=False)
    page = await context.new_page()

    await page.goto(stack.url)

    await expect(page.get_by_label("Your name")).to_be_visible()
    await expect(page.locator("#app")).to_be_hidden()
    await context.close()


async def test_the_name_form_is_not_shown_to_a_known_user(enter: Enter) -> None:
    ann = await enter("ann")
    await ann.page.add_init_script(
        """new MutationObserver((_, observer) => {
            const form = document.querySelector("#name-form");
            if (!form) return;
            window.formWasSeen = getComputedStyle(form.parentElement).display !== "none";
            observer.disconnect();
        }).observe(document, { childList: true, subtree: true });"""
    )

    await ann.page.reload()
    await ann.is_live()

    assert await ann.page.evaluate("window.formWasSeen") is False


async def test_the_page_can_be_installed(browser: Browser, stack: Stack) -> None:
    context = await browser.new_context(viewport=WIDE)
    page = await context.new_page()
    await page.goto(stack.url)
    session = await context.new_cdp_session(page)

    manifest = await session.send("Page.getAppManifest")

    assert manifest["errors"] == []
    content = json.loads(manifest["data"])
    assert (content["name"], content["display"]) == ("Townsquare", "standalone")
    async with aiohttp.ClientSession() as http:
        for path in ["/favicon.ico", *(icon["src"] for icon in content["icons"])]:
            async with http.get(f"{stack.url}{path}") as response:
                assert response.status == 200, path
                assert response.content_type.startswith("image/")
    properties = "[...document.querySelectorAll('meta[property]')].map((one) => one.content)"
    assert "" not in await page.evaluate(properties)
    await context.close()


async def test_a_theme_chosen_in_one_tab_applies_to_all_tabs(enter: Enter) -> None:
    ann = await enter("ann", color_scheme="light")
    second = await User.open_page(ann.page.context, ann.page.url)
    await second.is_live()
    await ann.page.locator("#open-settings").click()

    await ann.page.get_by_label("Theme").select_option("dark")

    root = second.page.locator("html")
    await expect(root).to_have_attribute("data-theme", "dark")


async def wait_for_notifications(user: User, count: int) -> None:
    """Poll from here: the page's security policy forbids what `wait_for_function` does."""
    async with asyncio.timeout(30):
        while await user.page.evaluate("window.shown.length") < count:
            await user.page.wait_for_timeout(50)


async def test_a_hidden_page_notifies_of_direct_messages_and_mentions(
    enter: Enter, join: Join, room: str
) -> None:
    ann, bob = await gather(enter("ann"), join("bob"))
    ann_id = await ann.user_id()
    await ann.page.evaluate(NOTIFICATIONS)
    await ann.page.locator("#open-settings").click()
    await ann.page.get_by_label("Notifications").select_option("mentions")
    await ann.page.keyboard.press("Escape")
    await bob.sends("seen, so not notified @ann", mentions=[ann_id])
    await ann.sees("seen, so not notified @ann")
    await ann.page.evaluate(HIDE)

    await bob.sends("nothing for her")
    await bob.sends("hello @ann", mentions=[ann_id])
    await wait_for_notifications(ann, 1)
    await bob.sends_directly(ann_id, "just for you")

    await expect(ann.page).to_have_title(f"(3) #{room} · Townsquare")
    await wait_for_notifications(ann, 2)
    shown = await ann.page.evaluate("window.shown")
    assert shown == [[f"bob in #{room}", "hello @ann"], ["bob", "just for you"]]
    icon = ann.page.locator("#page-icon")
    assert "%3E3%3C" in (await icon.get_attribute("href") or "")


async def test_a_muted_room_causes_no_notifications(enter: Enter, post: Post, room: str) -> None:
    ann = await enter("ann")
    await ann.page.evaluate(NOTIFICATIONS)
    await ann.page.locator("#open-settings").click()
    await ann.page.get_by_label("Notifications").select_option("all")
    await ann.page.keyboard.press("Escape")
    await ann.page.get_by_role("button", name="Mute this room").click()
    await ann.page.evaluate(HIDE)

    await post(f"/api/rooms/{room}/message", {"from": "bob", "content": "quiet"})
    await post("/api/rooms/lobby/message", {"from": "bob", "content": "loud"})

    await expect(ann.texts.last).to_have_text("quiet")
    await wait_for_notifications(ann, 1)
    assert await ann.page.evaluate("window.shown") == [["bob in #lobby", "loud"]]
    await ann.page.reload()
    mute = ann.page.get_by_role("button", name="Mute this room")
    await expect(mute).to_have_attribute("aria-pressed", "true")


async def test_the_debug_view_filters_pauses_and_sends(enter: Enter, room: str) -> None:
    ann = await enter("ann", "&debug")
    frames = ann.page.locator(".debug-frames")
    await expect(frames).to_contain_text("connected")

    await ann.page.get_by_label("Filter frames").fill('"type":"joined"')
    await expect(frames).to_contain_text('"type":"joined"')
    await expect(frames).not_to_contain_text("stock_update")

    await ann.page.get_by_label("Filter frames").fill("")
    await ann.page.get_by_role("button", name="Pause").click()
    data = json.dumps({"room": room, "content": "from the debug view", "id": "debug-1"})
    await ann.page.get_by_label("Event", exact=True).fill("message")
    await ann.page.get_by_label("Data (JSON)").fill(data)
    await ann.page.get_by_role("button", name="Send event").click()
    await ann.sees("from the debug view")
    await expect(ann.page.locator(".debug output")).to_have_text("acknowledged")
    await expect(frames).not_to_contain_text("from the debug view")
    await ann.page.get_by_role("button", name="Resume").click()
    await expect(frames).to_contain_text("from the debug view")

    await ann.page.get_by_label("Data (JSON)").fill("{")
    await ann.page.get_by_role("button", name="Send event").click()
    await expect(ann.page.locator(".debug output")).to_have_text("The data is not valid JSON.")
    await ann.cuts_network()
    await expect(ann.page.locator(".debug-history")).to_contain_text("closed 1006")
    await expect(ann.page.locator(".debug-history")).to_contain_text("reconnecting")
    await ann.restores_network()
    await ann.is_live()
