"""Private rooms: other users than members cannot join, read, send or detect the room."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from local.parts import Part, Stack
from realtime.rooms.access import RoomAccess
from realtime.rooms.drafts import AccessDraft
from realtime.rooms.room_store import RoomStore
from realtime.users.memberships import Memberships
from tests.instances import Instance, instance
from tests.service import Service
from tests.strict import KEY
from tests.users import RELIABLE, Connection, User

ROUNDS = 12
RACES = 40


@pytest.fixture
async def own(stack: Stack) -> AsyncIterator[Instance]:
    async with instance(stack) as made:
        yield made


class Operator:
    """A server with the function key."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"x-functions-key": KEY}
        url = f"{self._url}/api/rooms/{path}"
        async with self._http.request(method, url, headers=headers, json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def make_private(self, room: str, *members: User) -> str:
        """Make a room private, with these members."""
        for user in members:
            await self.add_member(room, user)
        await self.ask("PUT", room, {"private": True})
        return room

    async def add_member(self, room: str, user: User) -> None:
        await self.ask("PUT", f"{room}/members/{user.id}")

    async def remove_member(self, room: str, user: User) -> None:
        await self.ask("DELETE", f"{room}/members/{user.id}")


@pytest.fixture
def operator(stack: Stack, http: aiohttp.ClientSession) -> Operator:
    return Operator(http, stack.url)


async def test_members_send_messages_and_list_their_private_room(
    ann: User, bob: User, operator: Operator, room: str
) -> None:
    await operator.make_private(room, ann, bob)

    async with ann.connect(room=room) as ann_tab, bob.connect(room) as bob_tab:
        assert (await ann_tab.join(room))["type"] == "joined"
        await ann_tab.send_message(room, "only among us")
        await bob_tab.receive(type="message", content="only among us")

    (listed,) = (await ann.get("/api/rooms"))["rooms"]
    assert (listed["room"], listed["private"], listed["head"]) == (room, True, 1)


async def try_all_access(user: User, room: str) -> dict[str, Any]:
    """The responses to a user who tries every way into a room."""
    status, body = await user.ask("POST", "/api/negotiate", json={"room": room})
    found: dict[str, Any] = {"negotiate": (status, body)}
    found["groups"] = await user.ask("POST", "/api/negotiate", json={"groups": [f"room.{room}"]})
    for path in ("history", "users"):
        found[path] = await user.ask("GET", f"/api/rooms/{room}/{path}")
    async with user.connect() as tab:
        found["join"] = await tab.join(room)
        found["read"] = await tab.send_rejected("read", {"room": room, "seq": 0})
        found["say"] = await tab.send_rejected(
            "message", {"room": room, "content": "hi", "id": "1"}
        )
        found["typing"] = await tab.send_rejected("typing", {"room": room})
    found["list"] = await user.get("/api/rooms")
    return found


async def test_a_user_who_is_not_a_member_has_no_access(
    ann: User, bob: User, operator: Operator, room: str
) -> None:
    await operator.make_private(room, ann)
    async with ann.connect(room) as tab:
        await tab.send_message(room, "bob must not see this")

        found = await try_all_access(bob, room)
        assert "bob must not see this" not in str(found)
        assert (await ann.get(f"/api/rooms/{room}/users"))["count"] == 1
    assert {found[way][0] for way in ("negotiate", "history", "users")} == {404}
    assert found["groups"][0] == 400
    assert found["join"]["code"] == "unknown_room"
    assert {found[way]["code"] for way in ("say", "read", "typing")} == {"not_in_room"}
    assert found["list"]["rooms"] == []


async def test_a_private_room_and_a_missing_room_get_the_same_response(
    strict: Part, http: aiohttp.ClientSession, operator: Operator, room: str
) -> None:
    ann = await User.create(http, strict.url, "ann")
    missing = f"room-{uuid.uuid4().hex}"
    await operator.make_private(room)

    found = [
        str(await ann.ask("POST", "/api/negotiate", json={"room": name}))
        + str([await ann.ask("GET", f"/api/rooms/{name}/{path}") for path in ("history", "users")])
        + str((await Service(http, strict.url, KEY).send_event("join", {"room": name})).json)
        for name in (room, missing)
    ]

    assert found[0].replace(room, "it") == found[1].replace(missing, "it")
    assert "unknown_room" in found[0]


async def test_a_created_room_is_open_to_all_with_listed_rooms(
    strict: Part, http: aiohttp.ClientSession, room: str
) -> None:
    ann = await User.create(http, strict.url, "ann")
    await Operator(http, strict.url).ask("PUT", room, {"private": False})

    assert (await ann.negotiate(room=room))["room"] == room


async def test_a_removed_member_receives_and_sends_nothing_at_once(
    ann: User, bob: User, operator: Operator, room: str
) -> None:
    await operator.make_private(room, ann, bob)
    async with (
        ann.connect(room) as ann_tab,
        bob.connect(room) as first,
        bob.connect(room) as tab,
    ):
        await first.send_message(room, "still here")

        await operator.remove_member(room, bob)
        await ann_tab.send_message(room, "now that bob has gone")
        message = await tab.send_rejected("message", {"room": room, "content": "am I?", "id": "1"})
        typing = await tab.send_rejected("typing", {"room": room})
        read = await tab.send_rejected("read", {"room": room, "seq": 1})

        assert {one["code"] for one in (message, typing, read)} == {"unknown_room"}
        assert "now that bob has gone" not in str(first.received + tab.received)
        assert (await ann_tab.receive(type="system", event="left"))["user_id"] == bob.id
    assert (await bob.get("/api/rooms"))["rooms"] == []


async def test_a_member_removal_applies_at_once_on_every_instance(
    strict: Part, http: aiohttp.ClientSession, ann: User, operator: Operator, room: str
) -> None:
    await operator.make_private(room, ann)
    elsewhere = Service(http, strict.url, KEY)
    message = {"room": room, "content": "hello", "id": "1"}
    before = await elsewhere.send_event("message", message, user=ann.id, rooms=[room])

    await operator.remove_member(room, ann)
    after = await elsewhere.send_event("message", message | {"id": "2"}, user=ann.id, rooms=[room])

    assert (before.code, after.code) == (None, "unknown_room")


async def test_a_removed_member_cannot_connect_to_the_room_with_an_old_token(
    http: aiohttp.ClientSession, ann: User, operator: Operator, room: str
) -> None:
    await operator.make_private(room, ann)
    negotiated = await ann.negotiate(room=room)

    await operator.remove_member(room, ann)

    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await Connection.open(http, negotiated["url"], RELIABLE)
    assert refused.value.status == 404


async def test_a_join_during_the_removal_of_the_member_does_not_last(
    ann: User, bob: User, operator: Operator, own: Instance, room: str
) -> None:
    await operator.make_private(room, ann, bob)
    async with ann.connect() as tab:
        for _ in range(ROUNDS):
            await operator.add_member(room, ann)

            await asyncio.gather(tab.join(room), operator.remove_member(room, ann))

            # A join that was answered with joined came first; the removal then undid it.
            assert ann.id not in (await own.presence.roster(room)).users


async def test_a_join_while_another_instance_makes_the_room_private_does_not_last(
    strict: Part, http: aiohttp.ClientSession, ann: User, bob: User, own: Instance
) -> None:
    elsewhere = Operator(http, strict.url)
    random = Random(1)
    remaining = []
    async with ann.connect() as ann_tab, bob.connect() as tab:
        for _ in range(RACES):
            room = f"room-{uuid.uuid4().hex}"
            await ann_tab.join(room)  # this instance caches that the room is public

            async def close_room(room: str = room) -> None:
                await asyncio.sleep(random.random() * 0.03)
                await elsewhere.ask("PUT", room, {"private": True})

            await asyncio.gather(tab.join(room), close_room())
            remaining.append(bob.id in (await own.presence.roster(room)).users)
            await elsewhere.ask("PUT", room, {"private": False})
            await tab.send("leave", {"room": room})
            await ann_tab.send("leave", {"room": room})

    assert remaining == [False] * RACES


async def test_a_member_removed_between_connect_and_connected_is_removed_from_the_room(
    stack: Stack, http: aiohttp.ClientSession, ann: User, operator: Operator, own: Instance
) -> None:
    room = await operator.make_private(f"room-{uuid.uuid4().hex}", ann)
    async with ann.connect(room=room) as tab:
        # As on another instance that does not list the connection yet.
        await RoomStore(own.tables).change_member(
            room, ann.id, lambda stored, member: (stored, replace(member, member=False))
        )
        await own.appender.append(room, AccessDraft("system", "renewed"))

        response = await Service(http, stack.url).send_system_event(
            "connected", user=ann.id, connection=tab.id, rooms=[room]
        )

        assert response.status == 204
        assert (await own.presence.roster(room)).users == {}


async def test_making_a_room_private_removes_users_who_are_not_members(
    ann: User, bob: User, operator: Operator, room: str
) -> None:
    async with ann.connect(room) as ann_tab, bob.connect(room) as bob_tab:
        await bob_tab.send_message(room, "open to all")

        await operator.make_private(room, ann)
        assert (await bob_tab.receive(type="removed", room=room))["until"] is None
        await ann_tab.send_message(room, "now among ourselves")
        error = await bob_tab.send_rejected(
            "message", {"room": room, "content": "me too", "id": "1"}
        )

        assert error["code"] == "unknown_room"
        assert "now among ourselves" not in str(bob_tab.received)
    assert (await bob.ask("GET", f"/api/rooms/{room}/history"))[0] == 404


async def test_a_user_who_left_cannot_send_messages(ann: User, room: str) -> None:
    async with ann.connect(room) as tab:
        await tab.send("leave", {"room": room})

        error = await tab.send_rejected("message", {"room": room, "content": "hello", "id": "1"})

    assert error["code"] == "not_in_room"


async def test_a_private_room_can_be_made_public_again(
    ann: User, bob: User, operator: Operator, room: str
) -> None:
    await operator.make_private(room, ann)

    await operator.ask("PUT", room, {"private": False})

    assert (await bob.negotiate(room=room))["room"] == room


INJECTIONS = ["x' or PartitionKey ne 'x", "x' or true or '", "' or '1' eq '1", "%27 or true"]


@pytest.mark.parametrize("name", INJECTIONS)
async def test_names_are_query_parameters_and_not_filter_text(
    own: Instance, ann: User, name: str
) -> None:
    async with ann.connect("lobby") as tab:
        await tab.send_message("lobby", "there is something to find")
    memberships, access = (
        Memberships(own.tables),
        RoomAccess(RoomStore(own.tables), own.logs, listed=True),
    )

    assert (await own.history.read_page(name)).messages == []
    assert await memberships.list_page(name, 10) == ([], None)
    assert not await memberships.has_any(name)
    assert await access.find(name, name) is None
    assert await ann.ask("GET", f"/api/rooms/{name}/history") == await ann.ask(
        "GET", "/api/rooms/a:b/history"
    )
