"""Roles, muting, removing, blocking, reports, and the rooms that everybody can find."""

from asyncio import gather

import aiohttp
import pytest
from playwright.async_api import expect

from local.parts import Stack
from tests.page.conftest import Enter, Join
from tests.page.test_messages import choose, confirm
from tests.page.test_refusals import call
from tests.page.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def open_person_menu(user: User, name: str) -> None:
    person = user.page.locator("#users .person", has_text=name)
    await person.hover()
    await person.get_by_role("button", name=f"More about {name}").click()


async def choose_for_person(user: User, name: str, item: str) -> None:
    await open_person_menu(user, name)
    await user.page.get_by_role("menuitem", name=item).click()


async def test_an_owner_gives_roles_mutes_deletes_and_removes(
    enter: Enter, stack: Stack, room: str
) -> None:
    ann, bob, cleo = await gather(enter("ann"), enter("bob"), enter("cleo"))
    await call(stack, "PUT", f"/api/rooms/{room}", {"owners": [await ann.user_id()]})
    await ann.page.reload()
    await ann.is_live()
    own = ann.page.locator("#users .person", has_text="ann")
    await expect(own.locator(".role")).to_have_text("Owner")
    await open_person_menu(cleo, "bob")
    for item in ("Mute", "Remove", "Change the role"):
        await expect(cleo.page.get_by_role("menuitem", name=item)).to_have_count(0)
    await cleo.page.keyboard.press("Escape")

    await choose_for_person(ann, "bob", "Change the role of bob")
    dialog = ann.page.get_by_role("dialog", name="Role of bob in this room")
    await dialog.get_by_label("Role").select_option("moderator")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_be_hidden()
    badge = cleo.page.locator("#users .person", has_text="bob").locator(".role")
    await expect(badge).to_have_text("Moderator")

    await cleo.sends("to be deleted")
    await bob.sees("to be deleted")
    await choose(bob, bob.page.locator(".msg").last, "Delete")
    await confirm(bob, "Delete")
    await expect(cleo.texts.last).to_have_text("This message was deleted.")

    await choose_for_person(bob, "cleo", "Mute cleo")
    await bob.page.get_by_role("dialog").get_by_label("For how long").select_option("60")
    await confirm(bob, "Mute")
    await expect(cleo.page.locator("#message-input")).to_be_disabled()
    await expect(cleo.page.locator("#delivery-notice")).to_contain_text("You\u2019re muted until")
    await cleo.screenshot("muted")
    await cleo.page.reload()
    await cleo.is_live()
    await expect(cleo.page.locator("#message-input")).to_be_disabled()
    await choose_for_person(bob, "cleo", "Mute cleo")
    await bob.page.get_by_role("dialog").get_by_label("For how long").select_option("none")
    await confirm(bob, "Mute")
    await expect(cleo.page.locator("#message-input")).to_be_enabled()
    await cleo.sends("I can write again")
    await bob.sees("I can write again")
    await bob.sends("Good")
    await cleo.sees("I can write again", "Good")
    await expect(cleo.page.locator(".msg .by .role")).to_have_text("Moderator")

    await choose_for_person(bob, "cleo", "Remove cleo")
    await confirm(bob, "Remove")
    top = cleo.page.locator("#log-top")
    await expect(top).to_contain_text("You were removed from this room.")
    await expect(cleo.page.locator(f'#rooms .item[title="{room}"]')).to_have_count(0)
    await expect(bob.page.locator("#users")).not_to_contain_text("cleo")
    await cleo.screenshot("removed")


async def test_who_is_blocked_is_hidden_and_cannot_write_directly(enter: Enter) -> None:
    ann, bob = await gather(enter("ann"), enter("bob"))
    await bob.sends("before")
    await ann.sees("before")

    await choose(ann, ann.page.locator(".msg").last, "Block bob")
    await confirm(ann, "Block")

    hidden = ann.page.locator(".msg .blocked")
    await expect(hidden).to_contain_text("A message of a person whom you have blocked.")
    await bob.sends("after")
    await expect(hidden).to_have_count(2)
    await expect(ann.page.locator("#announcements")).not_to_contain_text("after")
    await hidden.last.get_by_role("button", name="Show").click()
    await expect(ann.texts.last).to_have_text("after")
    person = ann.page.locator("#users .person", has_text="bob")
    await expect(person.locator(".role")).to_have_text("Blocked")

    await bob.page.locator("#users button", has_text="ann").first.click()
    await bob.sends("Hello?")
    failed = bob.page.locator(".msg.failed")
    await expect(failed).to_contain_text("Not sent.")
    await failed.get_by_role("button", name="Discard").click()
    await ann.page.reload()
    await ann.is_live()
    await person.locator(".item").click()
    await expect(ann.page.locator("#delivery-notice")).to_contain_text("You have blocked bob.")
    await expect(ann.page.locator("#message-input")).to_be_disabled()
    await ann.page.get_by_role("button", name="More about this conversation").click()
    await ann.page.get_by_role("menuitem", name="Unblock bob").click()
    await expect(ann.page.locator("#message-input")).to_be_enabled()
    await ann.sends("Hello bob")
    await bob.page.reload()
    await bob.page.locator("#directs .item", has_text="ann").click()
    await bob.sees("Hello bob")


async def test_a_message_is_reported_with_a_reason(enter: Enter, join: Join, stack: Stack) -> None:
    ann, bob = await gather(enter("ann"), join("bob"))
    await bob.sends("to be reported")
    await ann.sees("to be reported")

    await choose(ann, ann.page.locator(".msg").last, "Report")
    dialog = ann.page.get_by_role("dialog", name="Report this message?")
    await dialog.get_by_role("button", name="Report").click()
    await expect(dialog.get_by_label("What is wrong with it?")).to_be_focused()
    await dialog.get_by_label("What is wrong with it?").fill("It is rude.")
    await ann.screenshot("report")
    await dialog.get_by_role("button", name="Report").click()

    await ann.is_notified("The message is reported.")
    reporter = await ann.user_id()
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{stack.url}/api/reports") as response,
    ):
        reports = (await response.json())["reports"]
    found = next(one for one in reports if one["reporter"] == reporter)
    assert (found["reason"], found["message"]["content"]) == ("It is rude.", "to be reported")


async def test_a_room_has_a_title_a_topic_and_a_place_in_the_directory(
    enter: Enter, stack: Stack, room: str
) -> None:
    ann, bob = await gather(enter("ann"), enter("bob"))
    await call(stack, "PUT", f"/api/rooms/{room}", {"owners": [await ann.user_id()]})
    await ann.page.reload()
    await expect(ann.page.locator("#users .person .role")).to_have_text("Owner")
    title = f"Market {room[-4:]}"

    await ann.page.get_by_role("button", name="More about this conversation").click()
    await ann.page.get_by_role("menuitem", name="Room settings").click()
    dialog = ann.page.get_by_role("dialog", name=f"Settings of #{room}")
    await dialog.get_by_label("Title").fill(title)
    await dialog.get_by_label("Topic").fill("What is sold today")
    await dialog.get_by_label("Listed").check()
    await dialog.get_by_role("button", name="Save").click()

    await expect(bob.page.locator("#room-title")).to_have_text(title)
    await expect(bob.page.locator("#room-topic")).to_have_text("What is sold today")
    await expect(bob.page.locator(f'#rooms .item[title="{room}"]')).to_contain_text(title)
    cleo = await enter("cleo")
    await cleo.opens_room(f"{room}-aside")
    directory = cleo.page.get_by_role("dialog", name="Join or create a room")
    listed = directory.get_by_role("button", name=title)
    await cleo.page.get_by_role("button", name="Browse open rooms").click()
    await expect(directory.get_by_label("Name of a room")).to_be_focused()
    await cleo.page.keyboard.type(title)
    # The list of the server is some seconds old at most.
    while not await listed.count():
        await cleo.page.wait_for_timeout(500)
        await directory.get_by_role("button", name="Close").click()
        await cleo.page.get_by_role("button", name="Browse open rooms").click()
        await cleo.page.keyboard.type(title)
        await expect(directory.get_by_text("Loading rooms")).to_have_count(0)
    await expect(listed).to_contain_text("What is sold today")
    await cleo.screenshot("directory")
    await listed.click()
    await expect(cleo.page.locator("#room-title")).to_have_text(title)

    await cleo.page.get_by_role("button", name="Browse open rooms").click()
    await cleo.page.keyboard.type(f"#{room} new")
    await directory.get_by_role("button", name=f"Create #{room}-new").click()
    await expect(cleo.page.locator("#room-title")).to_have_text(f"#{room}-new")
    await cleo.page.get_by_role("button", name="More about this conversation").click()
    await cleo.page.get_by_role("menuitem", name="Leave this room").click()
    await expect(cleo.page.locator("#room-title")).to_have_text("#lobby")
    await expect(cleo.page.locator(f'#rooms .item[title="{room}-new"]')).to_have_count(0)


async def test_unread_mentions_are_counted_beside_unread_messages(
    enter: Enter, join: Join, room: str
) -> None:
    ann, bob = await gather(enter("ann"), join("bob"))
    await ann.opens_room(f"{room}-aside")

    await bob.sends("one")
    await bob.sends("two @ann", mentions=[await ann.user_id()])
    await bob.sends("three")

    badges = ann.page.locator(f'#rooms .item[title="{room}"] .badge')
    await expect(badges).to_have_text(["@1 unread mentions of you", "3 unread"])
    await ann.page.reload()
    await ann.is_live()
    await expect(badges).to_have_text(["@1 unread mentions of you", "3 unread"])
    await ann.page.locator(f'#rooms .item[title="{room}"]').click()
    await ann.sees("one", "two @ann", "three")
    await expect(badges).to_have_count(0)
