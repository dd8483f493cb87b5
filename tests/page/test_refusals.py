"""Rejected actions: the page shows the reason, and when it no longer applies."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from local.parts import Ports, Stack, start_stack
from tests.page.conftest import WIDE, Enter
from tests.page.test_look import SERIOUS, find_violations
from tests.page.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with the usual limit of joins, on which a user may send one message a second and no
    provider can be reached."""
    settings = {
        "MESSAGES_PER_MINUTE": "60",
        "JOINS_PER_MINUTE": "120",
        "WEATHER_SCHEDULE": "*/2 * * * * *",
        "HTTPS_PROXY": "http://127.0.0.1:9",  # no proxy listens there
    }
    folder = tmp_path_factory.mktemp("limited")
    stack = start_stack(Ports.free(), folder, keep=False, settings=settings)
    try:
        stack.wait()
        yield stack
    finally:
        stack.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def limited_user(browser: Browser, limited: Stack) -> AsyncIterator[User]:
    """Ann on the limited stack, with a page of her own."""
    context = await browser.new_context(viewport=WIDE)
    ann = await User.open_page(context, limited.url)
    await ann.join_as("ann")
    yield ann
    await context.close()


UNTIL_JOINED = """count => new Promise((resolve) => {
    // The page stores the names of the joined rooms when all have answered.
    localStorage.removeItem("townsquare.rooms");
    const timer = setInterval(() => {
        const names = JSON.parse(localStorage.getItem("townsquare.rooms") ?? "[]");
        if (names.length < count) return;
        clearInterval(timer);
        resolve();
    }, 100);
})"""


async def call(stack: Stack, method: str, path: str, body: Any = None) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"{stack.url}{path}", json=body) as response,
    ):
        assert response.status == 200, await response.text()


async def test_a_private_room_shows_it_and_opens_on_admission(enter: Enter, stack: Stack) -> None:
    private = f"private-{uuid.uuid4().hex[:8]}"
    await call(stack, "PUT", f"/api/rooms/{private}", {"private": True})
    ann = await enter("ann")
    await ann.page.fill("#join-name", private)
    await ann.page.press("#join-name", "Enter")

    top = ann.page.locator("#log-top")
    await expect(top).to_have_text("This room doesn\u2019t exist or is private.")
    await expect(ann.page.locator("#message-input")).to_be_disabled()
    await ann.screenshot("private-room")
    await call(stack, "PUT", f"/api/rooms/{private}/members/{await ann.user_id()}")

    await expect(top).to_have_text("No messages yet. Say hello!", timeout=30_000)
    await ann.sends("I am in")
    await ann.sees("I am in")


async def test_a_user_removed_from_a_room_is_notified(enter: Enter, stack: Stack) -> None:
    private = f"private-{uuid.uuid4().hex[:8]}"
    await call(stack, "PUT", f"/api/rooms/{private}", {"private": True})
    ann = await enter("ann")
    member = f"/api/rooms/{private}/members/{await ann.user_id()}"
    await call(stack, "PUT", member)
    await ann.opens_room(private)
    await ann.sends("Here")
    await ann.sees("Here")
    await expect(ann.page.locator(".msg.pending")).to_have_count(0)

    await call(stack, "DELETE", member)

    top = ann.page.locator("#log-top")
    await expect(top).to_have_text("You were removed from this room.", timeout=30_000)
    await expect(ann.page.locator("#message-input")).to_be_disabled()


async def test_a_banned_user_is_notified_and_has_no_other_controls(
    enter: Enter, stack: Stack
) -> None:
    ann = await enter("ann", bypass_csp=True)  # for the injected axe script
    user_id = await ann.user_id()

    await call(stack, "PUT", f"/api/users/{user_id}/ban")

    alert = ann.page.get_by_role("alert").filter(has_text="You don\u2019t have access")
    await expect(alert).to_be_visible(timeout=30_000)
    await expect(ann.page.locator("#app")).to_be_hidden()
    assert await find_violations(ann.page, impacts=("minor", "moderate", *SERIOUS)) == []
    await ann.screenshot("banned")
    await call(stack, "DELETE", f"/api/users/{user_id}/ban")
    await ann.page.reload()
    await ann.is_live()
    assert await ann.user_id() == user_id


async def test_a_user_over_the_rate_limit_gets_one_notice_and_all_messages_are_sent(
    limited_user: User,
) -> None:
    ann = limited_user
    for n in range(20):
        await ann.sends(f"message {n}")

    notice = ann.page.locator("#delivery-notice")
    await expect(notice).to_have_text(
        "You\u2019re sending too fast. Your messages will be sent in a moment."
    )
    await ann.screenshot("too-fast")
    assert await ann.page.locator(".msg:is(.sending, .unconfirmed)").count() <= 1
    await expect(ann.page.locator(".msg.pending")).to_have_count(0, timeout=90_000)
    await expect(notice).to_be_empty()
    assert await ann.texts.all_text_contents() == [f"message {n}" for n in range(20)]


async def test_many_rooms_are_joined_though_joins_are_limited(limited_user: User) -> None:
    ann = limited_user
    names = [f"many-{number}" for number in range(44)]
    await ann.page.evaluate(
        "names => localStorage.setItem('townsquare.rooms', JSON.stringify(names))", names
    )
    sockets: list[str] = []
    ann.page.on("websocket", lambda socket: sockets.append(socket.url))

    await ann.page.reload()

    await asyncio.wait_for(ann.page.evaluate(UNTIL_JOINED, len(names)), timeout=60)
    await ann.is_live()
    assert len(sockets) == 1  # the app has not closed it because of rejected events


async def test_a_stream_that_was_never_read_shows_why(limited_user: User) -> None:
    ann = limited_user
    weather = ann.stream("weather")

    await expect(weather).to_contain_text(
        "Unavailable: Open-Meteo cannot be reached", timeout=30_000
    )
    await expect(weather.locator(".city")).to_have_count(0)
    await expect(weather.locator(".age")).to_have_text("")
    await ann.screenshot("unavailable-stream")


async def test_a_text_that_is_too_long_is_stored_and_not_sent(enter: Enter) -> None:
    ann = await enter("ann")
    text = "x" * 5_000

    await ann.page.fill("#message-input", text)

    await expect(ann.page.locator("#message-length")).to_have_text("1,000 characters too many")
    await expect(ann.page.get_by_role("button", name="Send")).to_be_disabled()
    await ann.page.press("#message-input", "Enter")
    await expect(ann.page.locator("#message-input")).to_have_value(text)
    await ann.page.fill("#message-input", text[:4_000])
    await ann.page.press("#message-input", "Enter")
    await expect(ann.texts).to_have_count(1)


async def test_signing_out_asks_for_confirmation_and_warns_guests(
    enter: Enter, stack: Stack
) -> None:
    ann = await enter("ann")
    await ann.sends("Before")
    await ann.page.locator("#sign-out").click()
    dialog = ann.page.get_by_role("dialog", name="Sign out?")
    await expect(dialog).to_contain_text("this identity is lost, and your direct messages with it")
    await ann.screenshot("sign-out")

    await dialog.get_by_role("button", name="Cancel").click()

    await expect(dialog).to_be_hidden()
    await ann.sees("Before")
    stored = await ann.page.evaluate("localStorage.getItem('townsquare.session')")
    await ann.page.goto(f"{stack.url}/?user=bob-7f3kq2")
    await ann.is_live()
    await ann.signs_out()
    assert ann.page.url == f"{stack.url}/"
    ended = {"Authorization": f"Bearer {json.loads(stored)['session']}"}
    async with aiohttp.ClientSession(headers=ended) as http:
        response = await http.post(f"{stack.url}/api/negotiate", json={})
        assert response.status == 401
    left = "Object.keys(localStorage).filter((key) => /session|draft|outbox|rooms/.test(key))"
    assert await ann.page.evaluate(left) == []


async def test_signing_out_in_one_tab_signs_out_the_other(enter: Enter) -> None:
    ann = await enter("ann")
    second = await User.open_page(ann.page.context, ann.page.url)
    await second.is_live()

    await ann.signs_out()

    await expect(second.page.locator("#name-error")).to_have_text("You signed out in another tab.")


async def test_a_message_to_an_unknown_user_shows_it(enter: Enter, stack: Stack) -> None:
    ann = await enter("ann")
    await ann.page.goto(f"{stack.url}/?user=nobody-000000")

    await ann.sends("Hello?")

    failed = ann.page.locator(".msg.failed")
    await expect(failed).to_contain_text("This person can\u2019t be reached.")
