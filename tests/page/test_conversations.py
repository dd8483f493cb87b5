"""Conversations on the page: rooms, direct messages, presence and unread counts."""

import re
from asyncio import gather

import pytest
from playwright.async_api import expect

from tests.page.conftest import Enter, Join
from tests.page.test_reliability import let_pass
from tests.page.user import WITHIN

pytestmark = pytest.mark.asyncio(loop_scope="session")  # one browser serves all tests


async def test_two_users_exchange_messages(enter: Enter) -> None:
    ann, bob = await gather(enter("ann"), enter("bob"))

    await ann.sends("Good morning")
    await bob.sees("Good morning")
    await bob.sends("Hello ann")

    await ann.sees("Good morning", "Hello ann")
    await ann.screenshot("two-people-talk")


async def test_a_name_is_changed_without_leaving(enter: Enter) -> None:
    ann, bob = await gather(enter("ann"), enter("bob"))
    await ann.sends("as ann")
    await bob.sees("as ann")
    await bob.sends("Hello @ann")
    mention = ann.page.locator(".msg.mentioned mark")
    await expect(mention).to_have_text("@ann")
    user_id = await ann.user_id()

    await ann.page.get_by_role("button", name="ann", exact=True).click()
    dialog = ann.page.get_by_role("dialog", name="Your profile")
    await dialog.get_by_label("Your name").fill("\u202e")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog.get_by_role("alert")).not_to_be_empty()
    await dialog.get_by_label("Your name").fill("Anna 伟")
    await dialog.get_by_role("button", name="Save").click()

    await expect(dialog).to_be_hidden()
    await expect(ann.page.locator("#user")).to_have_text("AAnna 伟")
    await expect(bob.page.locator("#users")).to_contain_text("Anna 伟")
    await expect(bob.page.get_by_text("ann is now called Anna 伟")).to_be_visible()
    await expect(bob.page.locator(".msg span.mention")).to_have_text("@ann")
    await ann.sends("as Anna")
    await expect(bob.page.locator(".msg .name").last).to_have_text("Anna 伟")
    await ann.page.reload()
    await ann.is_live()
    await expect(ann.page.locator("#user")).to_have_text("AAnna 伟")
    assert await ann.user_id() == user_id
    await expect(mention).to_have_text("@ann")


async def test_others_see_the_status_and_colour_that_a_user_has_chosen(enter: Enter) -> None:
    ann, bob = await gather(enter("ann"), enter("bob"))
    await bob.sends("Good morning")
    await ann.sees("Good morning")
    avatar = ann.page.locator(".msg .avatar")
    hue = "node => getComputedStyle(node).getPropertyValue('--hue')"

    await bob.page.get_by_role("button", name="bob", exact=True).click()
    dialog = bob.page.get_by_role("dialog", name="Your profile")
    await dialog.get_by_label("Status").fill("On holiday until Monday")
    await dialog.get_by_role("radio", name="Violet").check()
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_be_hidden()

    await expect(bob.page.locator("#user")).to_contain_text("On holiday until Monday")
    await expect(ann.page.locator("#users")).to_contain_text("On holiday until Monday")
    assert await avatar.evaluate(hue) == "300"
    await bob.page.locator("#user").click()
    await dialog.get_by_role("radio", name="Automatic").check()
    await dialog.get_by_role("button", name="Save").click()
    await expect(avatar).not_to_have_attribute("style", "--hue: 300;")
    await bob.page.locator("#user").click()
    await expect(dialog.get_by_role("radio", name="Automatic")).to_be_checked()
    await dialog.get_by_role("radio", name="Violet").check()
    await dialog.get_by_role("button", name="Save").click()
    await expect(avatar).to_have_attribute("style", "--hue: 300;")
    await ann.page.get_by_title("Profile of bob").click()
    card = ann.page.locator(".profile-card")
    await expect(card).to_contain_text("On holiday until Monday")
    await expect(card).to_contain_text(await bob.user_id())
    await ann.page.get_by_role("menuitem", name="Message bob").click()
    await expect(ann.page.locator("#room-topic")).to_have_text("On holiday until Monday")

    # Who is not in the room any more is looked up.
    await bob.page.close(run_before_unload=True)
    await ann.page.go_back()
    await ann.page.reload()
    await ann.is_live()
    await expect(avatar).to_have_attribute("style", "--hue: 300;")


async def test_a_late_joiner_sees_earlier_messages(enter: Enter, join: Join) -> None:
    ann, bob = await gather(join("ann"), join("bob"))
    await ann.sends("first")
    await bob.sees("first")
    await bob.sends("second")
    await ann.sees("first", "second")

    cleo = await enter("cleo")

    await cleo.sees("first", "second")


async def test_an_own_message_is_shown_at_once_and_marked_until_it_is_stored(enter: Enter) -> None:
    ann = await enter("ann")
    await ann.page.context.set_offline(offline=True)
    await ann.page.evaluate("window.dispatchEvent(new Event('offline'))")

    await ann.sends("Is this on its way?")

    message = ann.page.locator(".msg.own").last
    await expect(message).to_contain_text("Is this on its way?")
    await ann.page.context.set_offline(offline=False)
    await expect(message).not_to_have_class(re.compile("waiting|sent"))


async def test_users_see_the_roster_and_joins_and_leaves(enter: Enter) -> None:
    ann = await enter("ann")
    people = ann.page.locator("#users")
    await expect(people).not_to_contain_text("bob")

    bob = await enter("bob")
    await expect(people).to_contain_text("bob")
    await expect(ann.page.locator("#room-people")).to_have_text("2 people online")
    await bob.signs_out()

    await expect(people).not_to_contain_text("bob", timeout=2 * WITHIN)
    await expect(ann.page.locator("#room-people")).to_have_text("1 person online")


async def test_a_typing_user_is_shown_to_others(enter: Enter) -> None:
    ann, bob = await gather(enter("ann"), enter("bob"))

    await bob.page.locator("#message-input").press_sequentially("Hm")

    await expect(ann.page.locator("#typing")).to_have_text("bob is typing…")
    await bob.sends("Hm, yes")
    await ann.sees("Hm, yes")
    await expect(ann.page.locator("#typing")).to_have_text("")


async def test_a_room_counts_unread_messages_until_it_is_opened(
    enter: Enter, join: Join, room: str
) -> None:
    ann, bob = await gather(enter("ann"), join("bob"))
    await ann.opens_room(f"{room}-aside")

    await bob.sends("one")
    await bob.sends("two")

    item = ann.page.locator(f'#rooms .item[title="{room}"]')
    await expect(item.locator(".badge")).to_have_text("2 unread")
    await expect(ann.page).to_have_title(f"(2) #{room}-aside · Townsquare")
    await item.click()
    await ann.sees("one", "two")
    await expect(ann.page.locator(".day.new")).to_have_count(1)
    await expect(ann.page).to_have_title(f"#{room} · Townsquare")


async def test_two_users_exchange_direct_messages(enter: Enter) -> None:
    ann, bob, cleo = await gather(enter("ann", clock=True), enter("bob"), enter("cleo"))
    await ann.page.locator("#users button", has_text="bob").click()

    await ann.sends("Just between us")

    await bob.page.locator("#directs .item", has_text="ann").click()
    await bob.sees("Just between us")
    await bob.sends("I see")
    await ann.sees("Just between us", "I see")
    await expect(cleo.page.locator("#directs .item")).to_have_count(0)
    await ann.screenshot("direct")

    presence = ann.page.locator("#room-people")
    await expect(presence).to_have_text("Direct conversation · online")
    address = bob.page.url
    await bob.page.goto("about:blank")
    await let_pass(ann, seconds=61)
    await expect(presence).to_have_text("Direct conversation · offline")
    await bob.page.goto(address)
    await bob.is_live()
    await ann.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(presence).to_have_text("Direct conversation · online")


async def test_a_direct_message_is_shown_after_a_reload(enter: Enter, join: Join) -> None:
    ann, bob = await gather(join("ann"), enter("bob"))
    await ann.sends_directly(await bob.user_id(), "Read it later")
    await expect(bob.page.locator("#directs .item .badge")).to_have_text("1 unread")

    await bob.page.reload()

    await bob.page.locator("#directs .item", has_text="ann").click()
    await bob.sees("Read it later")


async def test_unread_direct_messages_from_before_the_first_received_one_are_shown(
    enter: Enter, join: Join
) -> None:
    ann, bob = await gather(join("ann"), enter("bob"))
    bob_id = await bob.user_id()
    for text in ("one", "two", "three"):
        await ann.sends_directly(bob_id, text)
    badge = bob.page.locator("#directs .item .badge")
    await expect(badge).to_have_text("3 unread")
    await bob.page.reload()
    await bob.is_live()
    await expect(badge).to_have_text("3 unread")

    await ann.sends_directly(bob_id, "four")
    await expect(badge).to_have_text("4 unread")
    await bob.page.locator("#directs .item", has_text="ann").click()

    await expect(bob.texts).to_have_text(["one", "two", "three", "four"])
    await expect(bob.page.locator("#log-top")).to_contain_text("This is the beginning")


async def test_markup_in_names_and_messages_is_text(enter: Enter) -> None:
    markup = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    ann, bob = await gather(enter("ann"), enter(markup))

    await bob.sends(markup)

    await ann.sees(markup)
    assert await ann.page.locator("#messages img, #messages script, #users img").count() == 0
    assert await bob.page.locator("#app img, #app script").count() == 0


async def test_only_web_addresses_become_links(enter: Enter) -> None:
    ann = await enter("ann")

    await ann.sends("See https://example.com/a?b=c#d. Not javascript:alert(1) or data:text/html,x")

    link = ann.texts.last.locator("a")
    await expect(link).to_have_count(1)
    await expect(link).to_have_attribute("href", "https://example.com/a?b=c#d")
    await expect(link).to_have_attribute("rel", re.compile("noopener noreferrer"))


async def test_a_long_text_is_folded_and_nothing_overflows(enter: Enter, room: str) -> None:
    ann = await enter("ann")
    await ann.sends("👩‍👩‍👧 🎉")
    await ann.sends("W" * 3_990)

    show = ann.page.get_by_role("button", name="Show all")
    pending = ann.page.locator(".msg.pending")
    await expect(pending).to_have_count(0)
    await show.click()

    log = ann.page.locator("#log")
    assert await log.evaluate("log => log.scrollWidth <= log.clientWidth")
    await expect(ann.texts.first).to_have_class(re.compile("emoji"))
    await expect(ann.texts.last).to_have_text("W" * 3_990)
    await expect(show).to_have_count(0)

    await ann.opens_room(f"{room}-2")  # its messages have the same seqs
    await ann.sends("short")
    await ann.sends("X" * 3_990)
    await ann.sees("short", "X" * 3_990)
    await expect(pending).to_have_count(0)
    await expect(show).to_be_visible()


async def test_a_rejected_message_stays_until_the_user_decides(enter: Enter) -> None:
    ann = await enter("ann")
    blank = "\u200b\u200b"  # the page takes it for a text, the server for a blank
    failed = ann.page.locator(".msg.failed")

    await ann.sends(blank)
    await expect(failed).to_contain_text("Not sent. The message is empty.")
    sent: list[str | bytes] = []
    ann.page.on("websocket", lambda socket: socket.on("framesent", lambda one: sent.append(one)))
    await ann.page.reload()
    await ann.is_live()
    await expect(failed).to_contain_text("Not sent. The message is empty.")
    await ann.sends("Good morning")
    stored = ann.page.locator(".msg.own:not(.pending)")
    await expect(stored.last).to_contain_text("Good morning")
    assert any("Good morning" in str(frame) for frame in sent)
    assert [frame for frame in sent if blank in str(frame)] == []

    await failed.get_by_role("button", name="Try again").click()
    await expect(failed).to_contain_text("Not sent. The message is empty.")
    await failed.get_by_role("button", name="Edit").click()
    await expect(ann.page.locator("#message-input")).to_have_value(blank)
    await ann.sends("Not blank")
    await expect(failed).to_have_count(0)
    await expect(ann.page.locator("#message-input")).to_have_value("")
    await ann.sees("Good morning", "Not blank")

    await ann.sends(blank)
    await failed.get_by_role("button", name="Discard").click()
    await expect(failed).to_have_count(0)
    await ann.page.reload()
    await ann.is_live()
    await expect(failed).to_have_count(0)


async def test_two_tabs_of_a_browser_are_one_user(enter: Enter, join: Join, room: str) -> None:
    ann, bob = await gather(enter("ann"), join("bob"))

    second = await type(ann).open_page(ann.page.context, ann.page.url)
    await second.is_live()
    await second.sends("From the second tab")

    await ann.sees("From the second tab")
    await expect(ann.page.locator(".msg.own")).to_have_count(1)
    for tab in (ann, second):
        await expect(tab.page.locator("#room-people")).to_have_text("2 people online")
    await gather(ann.opens_room(f"{room}-too"), second.opens_room(f"{room}-too"))
    await second.page.get_by_role("button", name="More about this conversation").click()
    await second.page.get_by_role("menuitem", name="Leave this room").click()
    await expect(ann.page.locator("#room-title")).to_have_text("#lobby")
    await expect(ann.page.locator(f'#rooms .item[title="{room}-too"]')).to_have_count(0)
    await ann.opens_room(room)
    await second.page.close(run_before_unload=True)
    await ann.sends("And from the first")
    await bob.sees("From the second tab", "And from the first")


async def test_every_action_is_possible_with_the_keyboard(
    enter: Enter, join: Join, room: str
) -> None:
    ann, bob = await gather(enter("ann"), join("bob"))
    keyboard = ann.page.keyboard
    await expect(ann.page.locator("#message-input")).to_be_focused()

    await keyboard.type("typed")
    await keyboard.press("Shift+Enter")
    await keyboard.type("in two lines")
    await keyboard.press("Enter")
    await bob.sees("typed\nin two lines")

    await keyboard.press("Alt+ArrowUp")
    await expect(ann.page.locator("#room-title")).to_have_text("#lobby")
    await keyboard.press("Alt+ArrowDown")
    await expect(ann.page.locator("#room-title")).to_have_text(f"#{room}")

    name = "(({ activeElement: one }) => one.id || one.ariaLabel)(document)"
    reached = set()
    for _ in range(60):
        await keyboard.press("Tab")
        reached.add(await ann.page.evaluate(name))
    assert {"filter", "join-name", "open-settings", "sign-out"} <= reached
    assert {"log", "message-input", "Receive Stock prices"} <= reached

    await ann.page.locator("#open-settings").focus()
    await keyboard.press("Enter")
    await keyboard.press("Tab")
    await expect(ann.page.locator("#theme")).to_be_focused()
