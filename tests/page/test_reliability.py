"""The page shows the true state of its connection and of unsent messages."""

from asyncio import gather

import pytest
from playwright.async_api import expect

from tests.page.conftest import Enter, Join, Post
from tests.page.user import WITHIN, User

STEP_SECONDS = 2

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_unsent_messages_and_drafts_are_restored_after_a_reload(
    enter: Enter, join: Join
) -> None:
    ann, bob = await gather(enter("ann"), join("bob"))
    await ann.page.add_init_script("sessionStorage.getItem('cut') && window.network.cut()")
    await ann.page.evaluate("sessionStorage.setItem('cut', '1')")
    await ann.cuts_network()
    await ann.has_state("Reconnecting")
    await ann.sends("Written before the reload")
    await ann.sends("And this too")
    await ann.page.fill("#message-input", "A draft")

    await ann.page.reload()

    await expect(ann.page.locator(".msg.pending .text")).to_have_count(2)
    await expect(ann.page.locator("#message-input")).to_have_value("A draft")
    await ann.screenshot("pending-after-reload")
    await ann.page.evaluate("sessionStorage.removeItem('cut')")
    await ann.restores_network()
    await bob.sees("Written before the reload", "And this too")
    await ann.sees("Written before the reload", "And this too")
    await expect(ann.page.locator(".msg.pending")).to_have_count(0)
    await ann.page.reload()
    await ann.sees("Written before the reload", "And this too")


async def test_a_message_without_an_acknowledgement_is_shown_as_unconfirmed(
    enter: Enter, join: Join
) -> None:
    """It is not delivered for two minutes; then it is stored once."""
    ann, bob = await gather(enter("ann", clock=True), join("bob"))
    await ann.page.evaluate(
        """() => { const send = WebSocket.prototype.send;
            WebSocket.prototype.send = function (data) {
                const frame = JSON.parse(data);
                if (window.loses && frame.event === "message") return;
                send.call(this, data); };
            window.loses = true; }"""
    )

    await ann.sends("Is it stored?")
    await let_pass(ann, seconds=120)

    pending = ann.page.locator(".msg.pending")
    await expect(pending).to_contain_text("Not confirmed yet")
    await expect(ann.page.get_by_text("Not sent")).to_have_count(0)
    await ann.page.evaluate("window.loses = false")
    await let_pass(ann, seconds=60)
    await bob.sees("Is it stored?")
    await expect(pending).to_have_count(0)
    await bob.has_message_count(1)


async def test_a_half_open_socket_is_detected_within_35_s(enter: Enter) -> None:
    ann = await enter("ann", clock=True)
    await ann.silences_network(new_sockets=True)

    await let_pass(ann, seconds=35, until="Reconnecting")

    await ann.restores_network(after_long=True)
    await let_pass(ann, seconds=60, until="Live")
    await ann.sends("Here again")
    await expect(ann.page.locator(".msg.pending")).to_have_count(0)


async def test_an_offline_page_shows_it_and_reconnects_at_once_when_online(
    enter: Enter, join: Join
) -> None:
    ann, bob = await gather(enter("ann"), join("bob"))
    await ann.silences_network(new_sockets=True)
    await ann.page.context.set_offline(offline=True)

    await ann.is_notified("You are offline.")
    await bob.sends("While you were away")
    await ann.page.context.set_offline(offline=False)
    await ann.restores_network(after_long=True)

    await ann.is_live()
    await ann.is_notified("1 new message while you were offline.")
    await ann.sees("While you were away")


async def test_a_handshake_without_a_response_does_not_block_the_next_one(enter: Enter) -> None:
    ann = await enter("ann", clock=True)
    await ann.silences_network(new_sockets=True)
    await let_pass(ann, seconds=35, until="Reconnecting")

    await let_pass(ann, seconds=2)  # a new handshake has begun and receives nothing
    await ann.restores_network(after_long=True)

    await let_pass(ann, seconds=25, until="Live")


async def test_a_missed_last_message_of_a_quiet_room_is_fetched_after_the_heartbeat(
    enter: Enter, post: Post, room: str
) -> None:
    ann = await enter("ann")
    await post(f"/api/rooms/{room}/message", {"content": "one"})
    await ann.sees("one")
    await ann.page.evaluate("() => { window.network.drop = ({ type }) => type === 'message'; }")
    await post(f"/api/rooms/{room}/message", {"content": "two"})
    history = await ann.page.evaluate(
        """async (room) => {
            const { session } = JSON.parse(localStorage.getItem("townsquare.session"));
            const headers = { Authorization: `Bearer ${session}` };
            return (await fetch(`/api/rooms/${room}/history`, { headers })).json(); }""",
        room,
    )
    assert history["head"] == 2
    await expect(ann.texts).to_have_count(1)

    head = {"type": "head", "room": room, "epoch": history["epoch"], "seq": 2, "members": 1}
    await post(f"/api/publish?group=room.{room}", head)

    await expect(ann.texts).to_have_text(["one", "two"], timeout=WITHIN)


async def let_pass(user: User, *, seconds: int, until: str = "") -> None:
    """Advance the page's clock, but not faster than its requests get responses.

    With `until`, at most these seconds pass until the page has this state.
    """
    state = user.page.locator("#state")
    for passed in range(0, seconds, STEP_SECONDS):
        if until and await state.text_content() == until:
            return
        step = min(STEP_SECONDS, seconds - passed)
        await user.page.clock.run_for(1_000 * step)
        await user.page.wait_for_timeout(100 * step)
    if until:
        await user.has_state(until)
