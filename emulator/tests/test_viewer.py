"""The traffic viewer in a browser."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from chromium import open_browser
from playwright.async_api import Browser, Locator, Page, expect
from running_emulator import (
    GROUP_ROLES,
    ClientSocket,
    RunningEmulator,
    handler_settings,
    run_emulator,
    run_event_handler,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=30_000)
MARKUP = """<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def emulator() -> AsyncIterator[RunningEmulator]:
    async with run_emulator() as emulator:
        yield emulator


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, emulator: RunningEmulator) -> AsyncIterator[Page]:
    """The opened viewer. The test fails if the page logs an error or breaks its policy."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.on("dialog", lambda dialog: errors.append(dialog.message))
    await page.goto(str(emulator.server.viewer_url))
    await expect(page.get_by_role("status")).to_contain_text("live")
    yield page
    await context.close()
    assert [error for error in errors if "ERR_" not in error] == []


async def connect_ann(emulator: RunningEmulator) -> ClientSocket:
    ann = await emulator.connect("ann", roles=GROUP_ROLES)
    await ann.send(type="joinGroup", group="lobby", ackId=1)
    await ann.receive()
    return ann


def entries(page: Page, text: str) -> Locator:
    return page.locator("#entries tr").filter(has_text=text)


async def test_connections_groups_and_frames_appear_live(
    page: Page, emulator: RunningEmulator
) -> None:
    ann = await connect_ann(emulator)
    await ann.send(type="sendToGroup", group="lobby", dataType="text", data="hello", ackId=2)

    await expect(entries(page, "connection opened")).to_contain_text("ann")
    await expect(entries(page, "joined group")).to_contain_text("lobby")
    await expect(entries(page, "→ in,").filter(has_text="sendToGroup")).to_contain_text("hello")
    await expect(entries(page, "← out").filter(has_text="fromUserId")).to_contain_text("hello")
    await expect(page.locator("#state")).to_contain_text("Connections of hub chat: 1")
    await expect(page.locator("#state")).to_contain_text("Groups of hub chat: 1")
    await ann.close()
    await expect(entries(page, "connection closed")).to_contain_text("ann")
    await expect(page.locator("#state")).to_contain_text("Connections of hub chat: 0")


async def test_entries_before_the_page_was_opened_are_shown(
    browser: Browser, emulator: RunningEmulator
) -> None:
    await connect_ann(emulator)
    await emulator.call(emulator.service().send_to_all, "hi")
    page = await browser.new_page()

    await page.goto(str(emulator.server.viewer_url))

    await expect(entries(page, "connection opened")).to_contain_text("ann")
    await expect(entries(page, "REST")).to_contain_text("status 202")
    await page.close()


async def test_upstream_calls_show_status_duration_and_the_failed_check(
    page: Page, emulator: RunningEmulator
) -> None:
    async with run_event_handler() as app:
        emulator.server.configure(handler_settings(f"{app.url}?code=secret"))
        ann = await emulator.connect("ann")
        connect = entries(page, "azure.webpubsub.sys.connect http")
        await expect(connect).to_contain_text(re.compile(r"status 204, [\d.]+ ms"))
        await expect(entries(page, "validation")).to_contain_text("status 200")

        app.allowed_origin = "elsewhere.example"
        emulator.server.configure(handler_settings(f"{app.url}/other", system=()))
        await ann.send(type="event", event="say", data=1, ackId=1)
        failed = page.locator("#entries tr.failed")
        await expect(failed.filter(has_text="lacks localhost")).to_contain_text("elsewhere")
        await expect(failed.filter(has_text="user.say")).to_contain_text("failed its validation")
        assert "secret" not in await page.content()


async def test_values_of_clients_are_text_and_never_markup(
    page: Page, emulator: RunningEmulator
) -> None:
    user = f"{MARKUP}"
    ann = await emulator.connect(user, roles=GROUP_ROLES)
    await ann.send(type="joinGroup", group=MARKUP, ackId=1)
    await ann.send(type="sendToGroup", group=MARKUP, dataType="text", data=MARKUP, ackId=2)

    await expect(entries(page, "joined group")).to_contain_text(MARKUP)
    await expect(entries(page, "← out").filter(has_text="fromUserId")).to_contain_text("onerror")
    await expect(page.locator("#state")).to_contain_text(MARKUP)
    assert await page.locator("main img, aside img, main script, aside script").count() == 0
    assert await page.evaluate("window.hacked") is None


async def test_entries_are_filtered_by_text_kind_and_failure(
    page: Page, emulator: RunningEmulator
) -> None:
    await connect_ann(emulator)
    await emulator.connect("bob")
    await emulator.http.get(f"{emulator.server.endpoint}/client/hubs/chat?access_token=x")
    rows = page.locator("#entries tr:visible")
    await expect(entries(page, "connection opened")).to_have_count(2)

    await page.get_by_role("searchbox").fill("BOB")
    await expect(rows.filter(has_text="connection opened")).to_have_count(1)
    await expect(rows.filter(has_text="ann")).to_have_count(0)
    await expect(page.get_by_role("status")).to_contain_text(re.compile(r"\d+ of \d+ entries"))
    await page.get_by_role("searchbox").fill("")
    await page.get_by_label("frames").uncheck()
    await expect(rows.filter(has_text="out")).to_have_count(0)
    await expect(rows.filter(has_text="connection opened")).to_have_count(2)
    with_token = f"{emulator.server.endpoint}/api/hubs/chat/:send"
    async with emulator.http.post(with_token, data=b"x"):
        pass
    await page.get_by_label("failed only").check()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("there is no token")


async def test_page_can_be_paused_and_cleared(page: Page, emulator: RunningEmulator) -> None:
    await page.get_by_role("button", name="Pause").click()
    await connect_ann(emulator)
    await expect(page.get_by_role("status")).to_contain_text("paused")
    await expect(page.get_by_role("status")).to_contain_text(re.compile(r"[1-9]\d* waiting"))
    await expect(entries(page, "connection opened")).to_have_count(0)

    await page.get_by_role("button", name="Resume").click()
    await expect(entries(page, "connection opened")).to_have_count(1)
    await page.get_by_role("button", name="Clear").click()
    await expect(page.locator("#entries tr")).to_have_count(0)


async def test_page_stays_bounded_with_many_entries(page: Page, emulator: RunningEmulator) -> None:
    traffic = emulator.server.traffic
    for number in range(4000):
        traffic.record("rest", method="POST", path=f"/number/{number}", status=202)

    await expect(entries(page, "/number/3999")).to_have_count(1)
    assert await page.locator("#entries tr").count() <= 2000


async def test_stopped_emulator_is_reported(browser: Browser) -> None:
    page = await browser.new_page()
    async with run_emulator() as emulator:
        await page.goto(str(emulator.server.viewer_url))
        await expect(page.get_by_role("status")).to_contain_text("live")

    await expect(page.get_by_role("status")).to_contain_text("not connected")
    await page.close()
