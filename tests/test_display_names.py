"""Display names and profiles."""

import asyncio
import time
from typing import Any

import aiohttp
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.parts import Part, Stack
from realtime.identity.display_names import (
    MAX_NAME_CHARACTERS,
    clean_display_name,
    validate_display_name,
)
from realtime.names import (
    decode_display_name,
    encode_display_name,
    validate_user_id,
)
from tests.users import User

NAMES = [
    "José García",
    "张伟",
    "Анна",
    "أحمد",
    "🎉",
    "👩‍💻",
    "🏳️‍🌈",
    "می‌خواهم",
    "क्‍ष",
    "O'Brien-Smith",
    "O.K.",
]


@pytest.mark.parametrize("name", NAMES)
async def test_a_display_name_of_any_script_is_unchanged(
    stack: Stack, http: aiohttp.ClientSession, name: str
) -> None:
    async with http.post(f"{stack.url}/api/negotiate", json={"name": name}) as response:
        negotiated = await response.json()

    assert negotiated["name"] == name
    assert validate_user_id(negotiated["user_id"])
    assert validate_display_name(name) == name
    assert decode_display_name(encode_display_name(name)) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [("  Ann \n Lee ", "Ann Lee"), ("Jose\u0301", "José"), ("ann\u00a0lee", "ann lee")],
)
def test_a_name_is_normalized(name: str, shown: str) -> None:
    assert validate_display_name(name) == shown


INVALID_NAMES = [
    "", "   ", "\u3164", "\u2800", "\ufe0e", "\u034f", "\u061c", "\U000e0041\U000e0042", "\u200d",
    "ann\u200b", "ann\u202e", "\u2066ann", "ann\x00", "ann\x7f", "an\u00adn", "a" * 41, "\ue000",
]  # fmt: skip

SYSTEM_LIKE_NAMES = [
    "system", "SYSTEM", "\u0455ystem", "s\u0443stem", "sy\u200dstem", "s.y.s.t.e.m", "\uff33ystem",
]  # fmt: skip


@pytest.mark.parametrize("name", INVALID_NAMES + SYSTEM_LIKE_NAMES, ids=ascii)
async def test_an_invisible_or_system_like_name_is_rejected(
    stack: Stack, http: aiohttp.ClientSession, ann: User, name: str
) -> None:
    status, body = await ann.ask("PATCH", "/api/me", json={"name": name})
    async with http.post(f"{stack.url}/api/negotiate", json={"name": name}) as response:
        negotiated = await response.json()

    assert (status, body["error"]["code"]) == (400, "invalid_name")
    if name in SYSTEM_LIKE_NAMES:
        assert (response.status, negotiated["error"]["code"]) == (400, "invalid_name")
    else:  # A new guest gets the nearest valid name.
        assert validate_display_name(negotiated["name"]) == negotiated["name"] != name


@given(st.text())
def test_clean_display_name_returns_a_valid_name(text: str) -> None:
    name = clean_display_name(text, "guest")

    assert validate_display_name(name) == name
    assert len(name) <= MAX_NAME_CHARACTERS


async def test_every_event_of_a_user_has_the_display_name(ann: User, bob: User) -> None:
    room = f"room-{time.time_ns()}"
    async with ann.connect(room) as ann_tab:
        assert (await bob.ask("PATCH", "/api/me", json={"name": "张伟"}))[0] == 200
        async with bob.connect() as bob_tab:
            joined = await bob_tab.join(room)
            await bob_tab.send("typing", {"room": room})
            typing = await ann_tab.receive(type="typing")
            joined_event = await ann_tab.receive(type="system", user_id=bob.id, event="joined")
            await bob_tab.send("direct", {"to": ann.id, "content": "hello", "id": "1"})
            await bob_tab.send_message(room, "in the room")
            message = await ann_tab.receive(type="message", content="in the room")
            direct_message = await ann_tab.receive(type="direct_message")

            assert (await bob.ask("PATCH", "/api/me", json={"name": "Анна"}))[0] == 200
            renamed = await ann_tab.receive(type="system", user_id=bob.id, event="renamed")
            users = (await ann.get(f"/api/rooms/{room}/users"))["users"]
            (direct,) = (await ann.get("/api/rooms"))["direct"]

        left_event = await ann_tab.receive(type="system", user_id=bob.id, event="left", within=30)

    names = {one["user_id"]: one["name"] for one in joined["users"]}
    assert names == {ann.id: "ann", bob.id: "张伟"}
    assert (message["name"], direct_message["name"]) == ("张伟", "张伟")
    assert (typing["name"], joined_event["name"], joined_event["content"]) == (
        "张伟",
        "张伟",
        "张伟 joined",
    )
    assert (renamed["name"], left_event["name"]) == ("Анна", "Анна")
    assert {one["user_id"]: one["name"] for one in users} == {ann.id: "ann", bob.id: "Анна"}
    assert direct["name"] == "Анна"


async def test_a_user_reads_and_changes_the_own_profile(ann: User) -> None:
    before = await ann.get("/api/me")
    status, changed = await ann.ask(
        "PATCH", "/api/me", json={"name": "Ann Lee", "status": "away until noon", "colour": 3}
    )
    cleared = (await ann.ask("PATCH", "/api/me", json={"status": ""}))[1]
    automatic = (await ann.ask("PATCH", "/api/me", json={"colour": None}))[1]
    ann.session = changed["session"]
    negotiated = await ann.negotiate(name="somebody else")

    assert (before["name"], before["status"], before["colour"]) == ("ann", "", None)
    assert status == 200
    assert (changed["name"], changed["status"], changed["colour"]) == (
        "Ann Lee",
        "away until noon",
        3,
    )
    assert (cleared["name"], cleared["status"], cleared["colour"]) == ("Ann Lee", "", 3)
    assert (automatic["name"], automatic["colour"]) == ("Ann Lee", None)
    assert (negotiated["user_id"], negotiated["name"]) == (ann.id, "Ann Lee")
    claims = jwt.decode(negotiated["session"], options={"verify_signature": False})
    assert claims["name"] == "Ann Lee"


async def test_an_invalid_status_is_rejected(ann: User) -> None:
    for status in ("\u202e", "away\nuntil noon"):
        response, body = await ann.ask("PATCH", "/api/me", json={"status": status})

        assert (response, body["error"]["code"]) == (400, "invalid_status")


async def test_others_see_the_status_and_colour_of_a_user(ann: User, bob: User) -> None:
    room = f"room-{time.time_ns()}"
    shown = {"status": "on holiday", "colour": 4}
    await bob.ask("PATCH", "/api/me", json=shown)
    async with ann.connect(room) as ann_tab, bob.connect() as bob_tab:
        plain_joined = await ann_tab.receive(type="system", user_id=ann.id, event="joined")
        joined = await bob_tab.join(room)
        joined_event = await ann_tab.receive(type="system", user_id=bob.id, event="joined")
        await bob_tab.send("direct", {"to": ann.id, "content": "hello", "id": "1"})
        await ann_tab.receive(type="direct_message")

        await bob.ask("PATCH", "/api/me", json={"status": "back", "colour": 0})
        changed_event = await ann_tab.receive(type="profile", user_id=bob.id)
        await bob.ask("PATCH", "/api/me", json={"name": "Bob Lee", "status": ""})
        renamed_event = await ann_tab.receive(type="system", user_id=bob.id, event="renamed")
        await bob.ask("PATCH", "/api/me", json={"name": "Bob Lee", "colour": 0})  # as before

        users = (await ann.get(f"/api/rooms/{room}/users"))["users"]
        ids = f"{bob.id},nobody-1,{ann.id},{bob.id}"
        profiles = (await ann.get(f"/api/users?ids={ids}"))["users"]
        (direct,) = (await ann.get("/api/rooms"))["direct"]
        await bob.ask("PATCH", "/api/me", json={"colour": None})
        reset_event = await ann_tab.receive(type="profile", user_id=bob.id)
        await bob_tab.send_message(room, "the next frame after the changes")
        await ann_tab.receive(type="message")

    assert plain_joined.keys() & {"status", "colour"} == set()
    by_id = {one["user_id"]: one for one in joined["users"]}
    assert by_id[bob.id].items() >= shown.items()
    assert by_id[ann.id].keys() & {"status", "colour"} == set()
    assert joined_event.items() >= shown.items()
    assert changed_event == {
        "type": "profile", "room": room, "user_id": bob.id, "name": "bob",
        "status": "back", "colour": 0,
    }  # fmt: skip
    assert (renamed_event["name"], renamed_event["colour"]) == ("Bob Lee", 0)
    assert "status" not in renamed_event
    (bob_now,) = (one for one in users if one["user_id"] == bob.id)
    assert (bob_now["name"], bob_now["colour"], "status" in bob_now) == ("Bob Lee", 0, False)
    assert profiles == [
        {"user_id": bob.id, "name": "Bob Lee", "colour": 0},
        {"user_id": ann.id, "name": "ann"},
    ]
    assert (direct["name"], direct["colour"]) == ("Bob Lee", 0)
    frames = [one for one in ann_tab.received if one.get("user_id") == bob.id]
    assert reset_event.items() >= {"name": "Bob Lee", "colour": None}.items()
    assert [one["type"] for one in frames].count("profile") == 2


async def test_at_most_50_profiles_are_read_at_once(ann: User) -> None:
    ids = ",".join(f"bob-{n}" for n in range(51))
    status, body = await ann.ask("GET", f"/api/users?ids={ids}")

    assert (status, body["error"]["code"]) == (400, "invalid_request")


async def test_a_name_is_moderated(strict: Part, http: aiohttp.ClientSession) -> None:
    async with http.post(f"{strict.url}/api/negotiate", json={"name": "darn it"}) as response:
        assert (await response.json())["error"]["code"] == "moderated"
    ann = await User.create(http, strict.url, "ann")

    status, body = await ann.ask("PATCH", "/api/me", json={"name": "Heck"})

    assert (status, body["error"]["code"]) == (403, "moderated")
    assert (await ann.get("/api/me"))["name"] == "ann"


async def test_changes_of_a_profile_at_the_same_time_are_all_stored(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    changes: list[dict[str, Any]] = [{"name": "Ann Lee"}, {"status": "away"}, {"colour": 3}]

    async def change_at_once(user: User) -> dict[str, Any]:
        await asyncio.gather(*(user.ask("PATCH", "/api/me", json=one) for one in changes))
        me = await user.get("/api/me")
        return {name: me[name] for one in changes for name in one}

    users = [await User.create(http, stack.url, "ann") for _ in range(6)]
    stored = await asyncio.gather(*map(change_at_once, users))

    assert stored == [{"name": "Ann Lee", "status": "away", "colour": 3}] * len(users)
