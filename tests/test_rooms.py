"""Settings of rooms: title, topic, the directory, and names that differ in case only."""

import uuid
from typing import Any

import aiohttp
import pytest

from local.parts import Stack
from tests.instances import Instance
from tests.test_roles import Server, accepted, message, rejected
from tests.users import User


@pytest.fixture
def server(stack: Stack, http: aiohttp.ClientSession) -> Server:
    return Server(http, stack.url)


async def test_new_settings_reach_the_room_and_its_later_members(
    ann: User, bob: User, server: Server, room: str
) -> None:
    settings = {"title": "Cafe\u0301 ☕", "topic": "Everything", "owners": [ann.id]}
    async with bob.connect(room) as tab:
        await server.get("PUT", f"rooms/{room}", settings)
        told = await tab.receive(type="room")
        path = f"/api/moderation/rooms/{room}"
        status, answer = await ann.ask("PATCH", path, json={"topic": "Coffee"})
        assert status == 200, answer
        assert (await tab.receive(type="room"))["topic"] == "Coffee"
        joined = await tab.join(room)
        assert (await bob.ask("PATCH", path, json={"topic": "Tea"}))[0] == 403

    assert told == {
        "type": "room", "room": room, "title": "Café ☕", "topic": "Everything",
        "private": False, "listed": False,
    }  # fmt: skip
    assert (joined["title"], joined["topic"], joined["private"]) == ("Café ☕", "Coffee", False)
    assert answer["owners"] == [ann.id]
    (summary,) = (await bob.get("/api/rooms"))["rooms"]
    assert (summary["title"], summary["topic"]) == ("Café ☕", "Coffee")


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"title": "a\u0007b"}, "invalid_title"),
        ({"title": "a\u202eb"}, "invalid_title"),
        ({"title": "two\nlines"}, "invalid_title"),
        ({"title": "x" * 81}, "invalid_title"),
        ({"topic": "x" * 501}, "invalid_topic"),
        ({"topic": "\u3164"}, "invalid_topic"),
        ({"owners": ["a:b"]}, "invalid_user"),
        ({"listed": "yes"}, "invalid_request"),
    ],
)
async def test_invalid_settings_are_refused(
    server: Server, room: str, settings: dict[str, Any], code: str
) -> None:
    status, answer = await server.ask("PUT", f"rooms/{room}", settings)

    assert (status, answer["error"]["code"]) == (400, code)


async def test_the_directory_has_the_open_listed_rooms(
    ann: User, bob: User, server: Server
) -> None:
    prefix = f"d-{uuid.uuid4().hex[:8]}"
    listed = {"listed": True}
    await server.get("PUT", f"rooms/{prefix}-a", {**listed, "title": "A", "topic": "first"})
    await server.get("PUT", f"rooms/{prefix}-b", {**listed, "private": True, "title": "secret"})
    await server.get("PUT", f"rooms/{prefix}-c", {"title": "not listed"})
    await server.get("PUT", f"rooms/{prefix}-d", listed)
    await server.get("PUT", f"rooms/{prefix}-e", listed)
    await server.get("PUT", f"rooms/{prefix}-e", {**listed, "private": True})
    async with ann.connect(f"{prefix}-a"), bob.connect(f"{prefix}-a"):
        found, after, pages = [], prefix, 0
        while after and after.startswith(prefix):
            page = await ann.get(f"/api/rooms?all=1&limit=1&after={after}")
            found += [room for room in page["rooms"] if room["room"].startswith(prefix)]
            after, pages = page.get("next"), pages + 1

    assert found == [
        {"room": f"{prefix}-a", "title": "A", "topic": "first", "members": 2},
        {"room": f"{prefix}-d", "title": "", "topic": "", "members": 0},
    ]
    assert pages >= 2


async def test_room_names_that_differ_in_case_are_one_room(
    ann: User, bob: User, server: Server, room: str
) -> None:
    loud = room.upper()
    await server.get("PUT", f"rooms/{loud}", {"title": "Both"})
    async with ann.connect(room=loud) as sender, bob.connect() as tab:
        joined = await tab.send("join", {"room": loud})
        assert joined["success"]
        joined = await tab.receive(type="joined")
        await accepted(sender, "message", room=room, **message("small"))
        await accepted(tab, "message", room=loud, **message("LARGE"))
        frames = [await sender.receive(type="message", content="LARGE")]
        frames.append(await tab.receive(type="message", content="small"))
        await accepted(tab, "typing", room=loud)
        frames.append(await sender.receive(type="typing"))
        await accepted(tab, "read", room=loud, seq=2)
        frames.append(await tab.receive(type="read"))
        await server.get("POST", f"publish?group=room.{loud}", {"type": "news", "room": room})
        await tab.receive(type="news")
        refusal = await tab.send_rejected("message", {"room": loud, "content": "", "id": "1"})
        assert await rejected(tab, "message", room=f"{loud}-2", **message()) == "not_in_room"
        page = await bob.get(f"/api/rooms/{loud}/history")
        users = await bob.get(f"/api/rooms/{loud}/users")
        await tab.send("leave", {"room": loud})
        left = await tab.receive(type="left")

    answers = [joined, *frames, refusal, page, users, left, await ann.get(f"/api/rooms/{loud}")]
    assert {one["room"] for one in answers} == {room}
    assert joined["title"] == "Both"
    assert users["count"] == 2
    assert [entry["content"] for entry in page["messages"]] == ["small", "LARGE"]
    assert [one["room"] for one in (await ann.get("/api/rooms"))["rooms"]] in ([room], [])
    assert (await ann.negotiate(room=loud))["room"] == room


async def test_a_stored_membership_with_capitals_is_not_listed_beside_the_folded_one(
    ann: User, one: Instance, room: str
) -> None:
    async with ann.connect(room):
        row = {"PartitionKey": ann.id, "RowKey": f"room:{room.upper()}"}
        await one.tables.open("memberships").create_entity({**row, "read": 0, "read_messages": 0})

        assert [found["room"] for found in (await ann.get("/api/rooms"))["rooms"]] == [room]
