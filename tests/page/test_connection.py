"""The page recovers its connection and shows its state."""

import asyncio
from asyncio import gather

import aiohttp
import pytest
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient
from playwright.async_api import Browser, expect

from local.parts import HUB, Stack
from tests.page.conftest import WIDE, Enter, Join
from tests.page.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_lost_connection_is_recovered_without_missing_messages(
    enter: Enter, join: Join
) -> None:
    ann, bob = await gather(enter("ann"), join("bob"))
    await ann.cuts_network()
    await ann.has_state("Reconnecting")

    await bob.sends("Can you hear me?")
    await ann.sends("Written in the dark")
    await ann.restores_network()

    await ann.is_notified("You\u2019re back.")
    await ann.is_live()
    await bob.sees("Can you hear me?", "Written in the dark")
    await ann.sees("Can you hear me?", "Written in the dark")


async def test_a_new_connection_fetches_missed_messages_and_shows_how_many(
    enter: Enter, join: Join
) -> None:
    ann, bob = await gather(enter("ann"), join("bob"))
    await ann.cuts_network()
    for text in ("one", "two", "three"):
        await bob.sends(text)
    await bob.sees("one", "two", "three")

    await ann.restores_network(after_long=True)

    await ann.is_notified("3 new messages while you were offline.")
    await ann.sees("one", "two", "three")
    await ann.sends("four")
    await bob.sees("one", "two", "three", "four")


async def test_a_connection_closed_by_the_service_is_opened_again(
    enter: Enter, stack: Stack
) -> None:
    ann, bob = await gather(enter("ann"), enter("bob"))

    async with _service(stack) as service:
        await service.close_all_connections()
    await ann.sends("Still here")

    await bob.sees("Still here")
    await ann.sees("Still here")


async def test_the_page_reconnects_after_a_restart_of_the_service(
    enter: Enter, stack: Stack
) -> None:
    ann, bob = await gather(enter("ann"), enter("bob"))
    await ann.sends("before")
    await bob.sees("before")

    stack.webpubsub.kill()
    await ann.has_state("Reconnecting")
    await ann.sends("during")
    await ann.screenshot("reconnecting")
    stack.webpubsub.start()
    await asyncio.to_thread(stack.webpubsub.wait)

    await ann.is_live()
    await bob.is_live()
    await bob.sees("before", "during")
    await bob.sends("after")
    await ann.sees("before", "during", "after")
    await expect(ann.page.locator("#users")).to_contain_text("bob")


async def test_a_dead_connection_is_replaced_after_sleep(enter: Enter, join: Join) -> None:
    """A computer that sleeps receives no close: the socket looks open, but receives nothing."""
    ann, bob = await gather(enter("ann", clock=True), join("bob"))
    await ann.silences_network()
    await bob.sends("While you slept")

    await ann.page.clock.fast_forward("01:00:00")
    await ann.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    await ann.sees("While you slept")
    await ann.is_live()


async def test_an_invalid_session_or_a_reserved_name_leads_to_the_name_form(enter: Enter) -> None:
    ann = await enter("ann")
    await ann.page.evaluate(
        """() => localStorage.setItem("townsquare.session",
            JSON.stringify({user_id: "ann-1234", session: "forged"}))"""
    )

    await ann.page.reload()

    await expect(ann.page.get_by_role("button", name="Join")).to_be_visible()
    await expect(ann.page.locator("#name-error")).not_to_be_empty()
    await ann.page.locator("#name").fill("system")
    await ann.page.locator("#name").press("Enter")
    await expect(ann.page.locator("#name-error")).to_have_text(
        "This name is reserved; choose another."
    )
    await ann.join_as("ann")


async def test_a_guest_stays_one_when_a_stream_is_deleted_or_a_request_is_rejected(
    enter: Enter, stack: Stack, room: str
) -> None:
    async with aiohttp.ClientSession(stack.url) as http:
        await http.put(f"/api/streams/{room}", json={"title": "Sensor"})
        ann = await enter("ann")
        card = ann.page.locator(f'[data-stream="{room}"]')
        await expect(card).to_be_visible()
        user_id = await ann.user_id()
        await http.delete(f"/api/streams/{room}")
    await ann.cuts_network()
    await ann.has_state("Reconnecting")
    await ann.restores_network(after_long=True)
    await ann.is_live()
    await expect(card).to_have_count(0)

    error = {"error": {"code": "forbidden", "message": "Not from here.", "retry": False}}
    await ann.page.route("**/api/negotiate", lambda route: route.fulfill(status=403, json=error))
    await ann.page.reload()
    await ann.is_notified("No connection yet. Not from here.")
    await ann.page.unroute("**/api/negotiate")
    await ann.page.reload()

    await ann.is_live()
    assert await ann.user_id() == user_id


async def test_a_page_without_storage_works_until_it_is_closed(
    browser: Browser, stack: Stack, room: str
) -> None:
    """A browser can forbid it, also only in frames of other sites."""
    context = await browser.new_context(viewport=WIDE)
    await context.add_init_script(
        """const get = () => { throw new DOMException("denied", "SecurityError"); };
        for (const name of ["localStorage", "sessionStorage"])
            Object.defineProperty(window, name, { get });"""
    )
    ann = await User.open_page(context, f"{stack.url}/?room={room}")

    await ann.join_as("ann")
    await ann.sends("hello")
    await ann.sees("hello")
    await ann.page.fill("#message-input", "a draft")
    await ann.opens_room(f"{room}-2")
    await ann.page.locator(f'#rooms .item[title="{room}"]').click()

    await expect(ann.page.locator("#message-input")).to_have_value("a draft")
    assert ann.console_errors == []
    await context.close()


async def test_after_signing_out_the_user_leaves_and_can_join_as_another_user(enter: Enter) -> None:
    """Also if the server cannot be told."""
    ann = await enter("ann")
    await ann.page.route("**/api/me/session", lambda route: route.abort())

    await ann.signs_out()
    await ann.join_as("bob")

    await expect(ann.page.locator("#user")).to_contain_text("bob")
    assert (await ann.user_id()).startswith("bob-")


async def test_debug_shows_frames_and_the_connection(enter: Enter, room: str) -> None:
    ann = await enter("ann", "&debug")

    await ann.sends("Look inside")

    await expect(ann.page.locator(".debug-frames")).to_contain_text("Look inside")
    await expect(ann.page.locator(".debug-status")).to_contain_text("live")
    await expect(ann.page.locator(".debug-status")).to_contain_text(f"{room} 1/1")
    await ann.screenshot("debug")


def _service(stack: Stack) -> WebPubSubServiceClient:
    return WebPubSubServiceClient.from_connection_string(stack.webpubsub_connection_string, hub=HUB)
