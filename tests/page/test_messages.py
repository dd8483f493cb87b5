"""Actions on messages: links, copying, Markdown, mentions, keyboard."""

import re
from asyncio import gather
from typing import Literal

import pytest
from playwright.async_api import Locator, expect

from local.parts import Stack
from tests.page.conftest import Enter, Join, Post
from tests.page.test_history import write_messages
from tests.page.user import User

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLIPBOARD = ["clipboard-read", "clipboard-write"]
PASTED = "navigator.clipboard.readText()"


async def test_a_copied_link_opens_its_message(enter: Enter, post: Post, room: str) -> None:
    await write_messages(post, room, 300)
    ann = await enter("ann", permissions=CLIPBOARD)
    await expect(ann.texts.last).to_have_text("300")
    message = ann.page.locator('.msg[data-seq="299"]')
    await message.hover()
    await message.get_by_role("button", name="Message actions").click()
    await ann.page.get_by_role("menuitem", name="Copy link").click()
    await ann.is_notified("The link is copied.")

    link = str(await ann.page.evaluate(PASTED))
    assert link.endswith(f"?room={room}&seq=299")
    await ann.page.goto(re.sub("299$", "12", link))

    linked = ann.page.locator(".msg.linked")
    await expect(linked).to_have_attribute("data-seq", "12")
    await expect(linked).to_be_in_viewport()
    await expect(linked).to_be_focused()
    await ann.screenshot("linked-message")


async def test_an_invalid_link_shows_an_error(enter: Enter, stack: Stack, room: str) -> None:
    ann = await enter("ann")
    await ann.sends("the only message")

    await ann.page.goto(f"{stack.url}/?room={room}&seq=41")
    await ann.is_notified("This message doesn\u2019t exist or is no longer stored.")
    await ann.page.goto(f"{stack.url}/?room=two%20words")
    await ann.is_notified("This link doesn\u2019t lead to a room.")

    await expect(ann.page.locator("#room-title")).to_have_text("#lobby")


async def test_back_and_forward_switch_the_conversations(enter: Enter, room: str) -> None:
    ann = await enter("ann")
    await ann.opens_room(f"{room}-two")
    title = ann.page.locator("#room-title")

    await ann.page.go_back()
    await expect(title).to_have_text(f"#{room}")
    await ann.page.go_forward()
    await expect(title).to_have_text(f"#{room}-two")
    await ann.page.reload()

    await expect(title).to_have_text(f"#{room}-two")


async def test_several_messages_are_copied_as_clean_text(enter: Enter) -> None:
    ann = await enter("ann", permissions=CLIPBOARD)
    await ann.sends("first")
    await ann.sends("second `code`")
    await ann.sees("first", "second code")
    await expect(ann.page.locator(".msg:not(.pending)")).to_have_count(2)

    await ann.page.evaluate("getSelection().selectAllChildren(document.querySelector('#messages'))")
    await ann.page.locator("#log").focus()
    await ann.page.keyboard.press("ControlOrMeta+C")

    lines = str(await ann.page.evaluate(PASTED)).split("\n")
    assert [re.sub(r"\d\d:\d\d", "hh:mm", line) for line in lines] == [
        "[hh:mm] ann: first",
        "[hh:mm] ann: second `code`",
    ]


async def test_every_message_shows_its_time(enter: Enter) -> None:
    ann = await enter("ann")
    for text in ("one", "two", "three"):
        await ann.sends(text)

    times = ann.page.locator(".msg time")

    await expect(times).to_have_text([re.compile(r"^\d\d:\d\d$")] * 3)
    for time in await times.all():
        await expect(time).to_be_visible()


async def test_light_markdown_is_shown_and_markup_is_text(enter: Enter) -> None:
    ann = await enter("ann")

    await ann.sends(
        "**bold** *italic* `a < b`\n> a quote\n- one\n- two\n```\n  if x:\n      <b>\n```\n"
        "mailto:ann@example.com"
    )

    text = ann.texts.last
    await expect(text.locator("strong")).to_have_text("bold")
    await expect(text.locator("em")).to_have_text("italic")
    await expect(text.locator("code")).to_have_text("a < b")
    await expect(text.locator("blockquote")).to_have_text("a quote")
    await expect(text.locator("li")).to_have_text(["one", "two"])
    assert await text.locator("pre").inner_text() == "  if x:\n      <b>"
    await expect(text.locator("a")).to_have_attribute("href", "mailto:ann@example.com")
    await expect(text.locator("b")).to_have_count(0)
    await ann.screenshot("markdown")


async def test_a_mention_is_highlighted_for_the_mentioned_user(
    enter: Enter, post: Post, room: str
) -> None:
    """The server's list of user ids decides, not the text."""
    ann, bob = await gather(enter("ann"), enter("bob"))
    await expect(ann.page.locator("#users .item .label")).to_have_text(["ann (you)", "bob"])

    await ann.sends("Good morning @bob")

    await bob.sees("Good morning @bob")
    await expect(bob.page.locator(".msg.mentioned mark")).to_have_text("@bob")
    await expect(ann.page.locator(".msg.mentioned")).to_have_count(0)
    await post(f"/api/rooms/{room}/message", {"from": "ann", "content": "nobody: @bob"})
    await bob.sees("Good morning @bob", "nobody: @bob")
    await expect(bob.page.locator(".msg.mentioned")).to_have_count(1)


async def test_of_two_users_with_one_name_the_chosen_one_is_mentioned(enter: Enter) -> None:
    name = "Zoë van 伟"
    ann, one, other = await gather(enter("ann"), enter(name), enter(name))
    chosen = await one.user_id()
    options = ann.page.get_by_role("listbox", name="People in this room").get_by_role("option")
    labels = ann.page.locator("#users .item .label")
    await expect(labels).to_have_text(["ann (you)", name, name])
    await ann.page.locator("#message-input").focus()

    await ann.page.keyboard.type("@Zoë v")
    await expect(options).to_have_count(2)
    await options.filter(has_text=chosen).click()
    await ann.page.keyboard.type("only you")
    await ann.page.keyboard.press("Enter")

    await one.sees(f"@{name} only you")
    await other.sees(f"@{name} only you")
    await expect(one.page.locator(".msg.mentioned mark")).to_have_text(f"@{name}")
    await expect(other.page.locator(".msg.mentioned")).to_have_count(0)
    await expect(other.page.locator(".msg span.mention")).to_have_text(f"@{name}")


async def test_a_message_is_answered_by_mouse_touch_and_keyboard(
    enter: Enter, post: Post, room: str
) -> None:
    await write_messages(post, room, 300)
    ann, bob = await gather(enter("ann"), enter("bob", has_touch=True, is_mobile=True))
    await ann.page.goto(f"{ann.page.url}&seq=7")
    seventh = ann.page.locator('.msg[data-seq="7"]')
    text = str(await seventh.locator(".text").text_content())
    answered = ann.page.locator("#answered")

    await choose(ann, seventh, "Reply")
    await expect(answered).to_contain_text(text)
    await expect(ann.page.locator("#message-input")).to_be_focused()
    await ann.sends("by mouse")
    await expect(answered).to_be_hidden()

    # The message is not loaded: it is fetched for the quote, and again for the jump to it.
    quote = bob.page.locator(".msg .reply").last
    await expect(quote).to_contain_text("Reply to")
    await expect(quote.locator("span").last).to_have_text(text)
    await quote.tap()
    linked = bob.page.locator(".msg.linked")
    await expect(linked).to_have_attribute("data-seq", "7")
    await expect(linked).to_be_in_viewport()

    await bob.page.locator("#newest").tap()
    await bob.page.locator('.msg[data-seq="301"] .more').tap()
    await bob.page.get_by_role("menuitem", name="Reply").tap()
    await bob.page.fill("#message-input", "by touch")
    await bob.page.locator("#send").tap()
    await expect(ann.page.locator(".msg .reply").last).to_contain_text("Youby mouse")

    keyboard = ann.page.keyboard
    await ann.page.locator("#log").focus()
    await keyboard.press("End")
    await keyboard.press("Enter")
    await expect(ann.page.get_by_role("menuitem", name="Reply")).to_be_focused()
    await keyboard.press("Enter")
    await expect(answered).to_contain_text("by touch")
    await keyboard.press("Escape")
    await expect(answered).to_be_hidden()
    await keyboard.press("Shift+Tab")
    await ann.page.locator("#log").focus()
    await keyboard.press("End")
    await keyboard.press("Enter")
    await keyboard.press("Enter")
    await keyboard.type("by keyboard")
    await keyboard.press("Enter")
    last = bob.page.locator(".msg .reply").last
    await expect(last).to_contain_text("Youby touch")
    await ann.screenshot("replies")

    await choose(ann, ann.page.locator('.msg[data-seq="301"]'), "Delete")
    await confirm(ann, "Delete")
    await expect(bob.page.locator('.msg[data-seq="302"] .reply')).to_contain_text(
        "This message was deleted."
    )


async def test_the_emojis_of_the_menu_are_reached_with_the_arrow_keys(enter: Enter) -> None:
    ann = await enter("ann")
    await ann.sends("one")
    await expect(ann.page.locator('.msg[data-seq="1"]')).to_be_visible()
    keyboard = ann.page.keyboard
    await ann.page.locator("#log").focus()
    await keyboard.press("End")
    await keyboard.press("Enter")

    await keyboard.press("ArrowDown")
    await keyboard.press("ArrowRight")
    await expect(ann.page.get_by_label("React with ❤️")).to_be_focused()
    await keyboard.press("ArrowDown")
    await expect(ann.page.get_by_role("menuitem", name="Edit")).to_be_focused()
    await keyboard.press("ArrowUp")
    await keyboard.press("Enter")

    await expect(ann.page.locator(".reaction")).to_have_text("✅ 1")
    await expect(focused(ann)).to_contain_text("one")


async def test_a_started_mention_is_completed(enter: Enter, join: Join) -> None:
    ann, bob, _ = await gather(enter("ann"), join("bob"), join("boris"))
    options = ann.page.get_by_role("listbox", name="People in this room").get_by_role("option")
    labels = ann.page.locator("#users .item .label")
    await expect(labels).to_have_text(["ann (you)", "bob", "boris"])
    keyboard = ann.page.keyboard
    await ann.page.locator("#message-input").focus()

    await keyboard.type("Hello @bo")
    await expect(options).to_have_text(["Bbob", "Bboris"])
    await keyboard.press("ArrowDown")
    selected = ann.page.locator('#mentions [aria-selected="true"]')
    await expect(selected).to_have_text("Bboris")
    await ann.screenshot("mention-completion")
    await keyboard.press("ArrowUp")
    await keyboard.press("Enter")
    await expect(ann.page.locator("#message-input")).to_have_value("Hello @bob ")
    await expect(options).to_have_count(0)
    await keyboard.type("and @")
    await options.filter(has_text="boris").click()
    await keyboard.type("and x@bo")
    await expect(options).to_have_count(0)
    await keyboard.press("Enter")

    await bob.sees("Hello @bob and @boris and x@bo")


async def choose(
    user: User,
    row: Locator,
    item: str,
    role: Literal["menuitem", "menuitemcheckbox"] = "menuitem",
) -> None:
    await row.hover()
    await row.get_by_role("button", name="Message actions").click()
    await user.page.get_by_role(role, name=item).click()


async def confirm(user: User, action: str) -> None:
    await user.page.get_by_role("dialog").get_by_role("button", name=action).click()


async def test_a_message_of_a_server_has_no_items_about_a_user(
    enter: Enter, post: Post, room: str
) -> None:
    ann = await enter("ann")
    await post(f"/api/rooms/{room}/message", {"content": "The market opens"})
    await ann.sees("The market opens")
    row = ann.page.locator(".msg").last

    await row.hover()
    await row.get_by_role("button", name="Message actions").click()

    items = ann.page.get_by_role("menuitem")
    await expect(items).to_have_text(["Reply", "Copy link", "Copy text", "Report…"])
    await expect(row.locator(".name")).to_have_text("system")
    await expect(ann.page.get_by_title("Profile of system")).to_have_count(0)


async def test_own_messages_are_edited_and_deleted_and_every_user_reacts(enter: Enter) -> None:
    ann, bob = await gather(enter("ann"), enter("bob"))
    await ann.sends("frist")
    await bob.sees("frist")
    await ann.sends("second")
    await bob.sees("frist", "second")
    await expect(ann.page.locator(".msg.pending")).to_have_count(0)
    first, second = (ann.page.locator(f'.msg[data-seq="{seq}"]') for seq in (1, 2))

    await choose(ann, first, "Edit")
    await expect(ann.page.locator("#message-input")).to_have_value("frist")
    await ann.sends("first")
    await expect(bob.texts.first).to_have_text("first")
    await expect(bob.page.locator(".edited")).to_have_text("edited")
    await choose(bob, bob.page.locator('.msg[data-seq="1"]'), "React with 👍", "menuitemcheckbox")
    await expect(first.locator(".reaction")).to_have_text("👍 1")
    await first.locator(".reaction").click()
    await expect(bob.page.locator(".reaction")).to_have_text("👍 2")
    await ann.screenshot("edited-and-reactions")
    await choose(ann, second, "Delete")
    await confirm(ann, "Delete")

    await expect(bob.texts.last).to_have_text("This message was deleted.")
    cleo = await enter("cleo")
    await expect(cleo.texts).to_have_text(["first", "This message was deleted."])
    await expect(cleo.page.locator(".reaction")).to_have_text("👍 2")


async def test_an_edit_that_fails_is_not_lost(enter: Enter) -> None:
    ann = await enter("ann")
    field = ann.page.locator("#message-input")
    await ann.sends("frist")
    await ann.sees("frist")
    await expect(ann.page.locator(".msg.pending")).to_have_count(0)
    await field.fill("a draft")
    await choose(ann, ann.page.locator(".msg").last, "Edit")
    await ann.cuts_network()
    await ann.has_state("Reconnecting")

    await ann.sends("first")

    await ann.is_notified("This could not be changed.")
    await expect(field).to_have_value("first")
    await ann.restores_network()
    await ann.is_live()
    await field.press("Enter")
    await ann.sees("first")
    await expect(field).to_have_value("a draft")


async def test_what_is_unfolded_in_a_room_is_folded_in_another(enter: Enter, room: str) -> None:
    ann = await enter("ann")
    unfold = ann.page.get_by_role("button", name="Show all")
    long = "\n".join("long" for _ in range(40))
    for name in (f"{room}-a", f"{room}-b"):
        await ann.opens_room(name)
        await ann.sends(long)
        await expect(unfold).to_be_visible()
        await expect(ann.page.locator(".msg.pending")).to_have_count(0)
    await unfold.click()
    await expect(unfold).to_have_count(0)

    await ann.page.locator(f'#rooms .item[title="{room}-a"]').click()

    await expect(unfold).to_be_visible()


async def test_a_join_after_a_reaction_is_shown(enter: Enter, join: Join) -> None:
    ann = await enter("ann")
    await ann.sends("hello")
    await expect(ann.page.locator(".msg.pending")).to_have_count(0)
    await choose(ann, ann.page.locator(".msg").last, "React with 👍", "menuitemcheckbox")
    await expect(ann.page.locator(".reaction")).to_have_count(1)

    await join("bob")

    await expect(ann.page.locator(".notice-row").last).to_have_text("bob joined")


async def test_the_messages_are_one_tab_stop_with_arrow_keys_inside(
    enter: Enter, join: Join
) -> None:
    ann, bob = await gather(enter("ann"), join("bob"))
    for text in ("one", "two https://example.com", "three"):
        await bob.sends(text)
        await ann.sees(text)
    keyboard = ann.page.keyboard
    await ann.page.locator("#log").focus()

    await keyboard.press("ArrowUp")
    await keyboard.press("ArrowUp")
    await expect(focused(ann)).to_contain_text("two")
    await keyboard.press("ArrowRight")
    await expect(ann.page.locator("a:focus")).to_have_text("https://example.com")
    await keyboard.press("ArrowLeft")
    await keyboard.press("Home")
    await expect(focused(ann)).to_contain_text("one")
    await keyboard.press("End")
    await expect(focused(ann)).to_contain_text("three")
    await keyboard.press("Enter")
    await expect(ann.page.get_by_role("menuitem").first).to_be_focused()
    await keyboard.press("ArrowDown")
    await keyboard.press("ArrowDown")
    await keyboard.press("ArrowDown")
    await expect(ann.page.get_by_role("menuitem", name="Copy text")).to_be_focused()
    await keyboard.press("Escape")
    await expect(focused(ann)).to_contain_text("three")
    await keyboard.press("Escape")
    await expect(ann.page.locator("#message-input")).to_be_focused()
    stops = (
        "document.querySelectorAll('#messages :is(a, button, [tabindex]):not([tabindex=\"-1\"])')"
    )
    assert await ann.page.evaluate(f"{stops}.length") == 0


async def test_home_and_end_reach_the_ends_of_the_log(enter: Enter, post: Post, room: str) -> None:
    await write_messages(post, room, 420)
    ann = await enter("ann")
    await expect(ann.texts.last).to_have_text("420")
    await ann.page.locator("#log").focus()

    await ann.page.keyboard.press("Home")
    await expect(focused(ann)).to_have_attribute("data-seq", "1")
    await expect(focused(ann)).to_be_in_viewport()

    await ann.page.keyboard.press("End")
    await expect(focused(ann)).to_have_attribute("data-seq", "420")
    await expect(ann.texts.last).to_be_in_viewport()


def focused(user: User) -> Locator:
    return user.page.locator(".msg:focus")
