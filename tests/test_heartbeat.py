"""The head event: users of a room without traffic detect a missed message within 90 seconds."""

from datetime import UTC, datetime

import aiohttp

from local.parts import Stack
from realtime.rooms.drafts import MessageDraft
from realtime.rooms.heartbeat import publish_heads
from tests.instances import Instance
from tests.users import User


async def run_timer(stack: Stack, http: aiohttp.ClientSession) -> None:
    url = f"{stack.url}/admin/functions/reconcile_presence"
    async with http.post(url, json={}) as response:
        assert response.status == 202


async def test_the_head_event_reveals_a_message_that_was_not_published(
    stack: Stack, http: aiohttp.ClientSession, ann: User, bob: User, one: Instance, room: str
) -> None:
    """As when the instance stops between the commit and the publish."""
    async with ann.connect(room) as ann_tab, bob.connect(room):
        await ann_tab.receive(type="system", user_id=bob.id, event="joined")
        head = await one.logs.read_head(room)
        draft = MessageDraft(bob.id, "1", content="never published")
        commit = await one.logs.commit(room, head, [draft], datetime.now(UTC))

        await run_timer(stack, http)

        event = await ann_tab.receive(type="head", room=room, within=30)
        assert (event["epoch"], event["seq"]) == (commit.head.epoch, 1)
        assert event["members"] == 2
        page = await ann.get(f"/api/rooms/{room}/history?after=0")
        assert [entry["content"] for entry in page["messages"]] == ["never published"]


async def test_one_head_event_is_published_for_each_room_with_users(
    ann: User, one: Instance, room: str
) -> None:
    async with ann.connect(room) as ann_tab:
        rosters = {name: await one.presence.roster(name) for name in (room, f"{room}-empty")}

        assert await publish_heads(one.logs, one.hub, rosters) == 1

        event = await ann_tab.receive(type="head", room=room)
        assert (event["epoch"], event["seq"], event["members"]) == ("", 0, 1)
