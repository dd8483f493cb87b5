"""Roles in rooms: what owners and moderators do with members, and that it is in force at once."""

import asyncio
import uuid
from random import Random
from typing import Any

import aiohttp
import pytest

from local.parts import Part, Stack
from realtime.rooms.drafts import AccessDraft, MessageDraft
from tests.instances import Instance
from tests.instances import instance as open_instance
from tests.service import Service
from tests.strict import KEY
from tests.test_operators import create_vouched_user
from tests.users import Connection, User

RACES = 25


class Server:
    """Whoever holds the function key."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"x-functions-key": KEY}
        url = f"{self._url}/api/{path}"
        async with self._http.request(method, url, headers=headers, json=body) as answer:
            return answer.status, await answer.json()

    async def get(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = await self.ask(method, path, body)
        assert status == 200, answer
        return answer


@pytest.fixture
def server(stack: Stack, http: aiohttp.ClientSession) -> Server:
    return Server(http, stack.url)


@pytest.fixture
async def carol(stack: Stack, http: aiohttp.ClientSession) -> User:
    return await User.create(http, stack.url, "carol")


async def rejected(tab: Connection, event: str, **data: Any) -> str:
    return str((await tab.send_rejected(event, data))["code"])


async def accepted(tab: Connection, event: str, **data: Any) -> None:
    before = len([one for one in tab.received if one.get("type") == "error"])
    assert (await tab.send(event, data))["success"]
    errors = [one for one in tab.received if one.get("type") == "error"]
    assert len(errors) == before, errors[-1]


def message(content: str = "hello") -> dict[str, str]:
    return {"content": content, "id": uuid.uuid4().hex}


# --- roles --------------------------------------------------------------------------------------


async def test_an_owner_names_moderators_and_the_room_is_told(
    ann: User, bob: User, carol: User, server: Server, room: str
) -> None:
    answer = await server.get("PUT", f"rooms/{room}", {"owners": [ann.id]})
    async with ann.connect(room) as owner, bob.connect(room) as moderator, carol.connect() as tab:
        assert answer["owners"] == [ann.id]
        assert await rejected(moderator, "role", room=room, user_id=bob.id, role="owner") == (
            "forbidden"
        )
        await accepted(owner, "role", room=room, user_id=bob.id, role="moderator")
        told = await owner.receive(type="role")
        joined = await tab.join(room)

    assert (told["room"], told["user_id"], told["name"], told["role"]) == (
        room, bob.id, "bob", "moderator",
    )  # fmt: skip
    assert joined["role"] == "member"
    roles = {one["user_id"]: one.get("role") for one in joined["users"]}
    assert roles == {ann.id: "owner", bob.id: "moderator", carol.id: None}
    listed = await carol.get(f"/api/rooms/{room}/members")
    assert {one["user_id"]: one["role"] for one in listed["members"]} == {
        ann.id: "owner", bob.id: "moderator",
    }  # fmt: skip
    assert (await bob.get(f"/api/rooms/{room}"))["role"] == "moderator"
    (summary,) = (await ann.get("/api/rooms"))["rooms"]
    assert summary["role"] == "owner"


async def test_a_server_that_replaces_the_owners_notifies_the_room(
    ann: User, bob: User, server: Server, room: str
) -> None:
    await server.get("PUT", f"rooms/{room}", {"owners": [ann.id]})
    async with bob.connect(room) as tab:
        await server.get("PUT", f"rooms/{room}", {"owners": [bob.id]})
        events = [await tab.receive(type="role") for _ in range(2)]

    assert {one["user_id"]: one["role"] for one in events} == {ann.id: "member", bob.id: "owner"}


async def test_a_room_keeps_an_owner_and_roles_are_respected(
    ann: User, bob: User, carol: User, server: Server, room: str
) -> None:
    await server.get("PUT", f"rooms/{room}", {"owners": [ann.id]})
    await server.get("PUT", f"rooms/{room}/members/{bob.id}", {"role": "moderator"})
    async with ann.connect(room) as owner, bob.connect(room) as moderator, carol.connect(room):
        codes = [
            await rejected(owner, "role", room=room, user_id=ann.id, role="member"),
            await rejected(owner, "remove", room=room, user_id=ann.id),
            await rejected(owner, "mute", room=room, user_id=ann.id),
            await rejected(moderator, "mute", room=room, user_id=ann.id),
            await rejected(moderator, "remove", room=room, user_id=ann.id),
            await rejected(moderator, "role", room=room, user_id=carol.id, role="moderator"),
            await rejected(owner, "role", room=room, user_id=bob.id, role="king"),
            await rejected(owner, "mute", room=room, user_id=bob.id, minutes=0),
            await rejected(owner, "remove", room=room, user_id=bob.id, minutes=43_201),
            await rejected(owner, "mute", room="elsewhere", user_id=bob.id),
            await rejected(owner, "mute", room=room, user_id="a:b"),
        ]
        # The role outlasts leaving the room.
        await owner.send("leave", {"room": room})
        again = await owner.join(room)

    assert codes == [
        "last_owner", "invalid_target", "invalid_target", "forbidden", "forbidden", "forbidden",
        "invalid_request", "invalid_request", "invalid_request", "not_in_room", "invalid_user",
    ]  # fmt: skip
    assert again["role"] == "owner"
    status, answer = await carol.ask(
        "PUT", f"/api/moderation/rooms/{room}/members/{carol.id}", json={"role": "owner"}
    )
    assert (status, answer["error"]["code"]) == (403, "forbidden")
    many = {"owners": [f"user-{number}" for number in range(51)]}
    assert (await server.ask("PUT", f"rooms/{room}", many))[1]["error"]["code"] == "too_many_roles"


async def test_an_owner_in_a_private_room_adds_and_removes_members(
    ann: User, bob: User, server: Server, room: str
) -> None:
    await server.get("PUT", f"rooms/{room}", {"private": True, "owners": [ann.id]})
    async with ann.connect(room) as owner, bob.connect() as tab:
        assert (await tab.join(room))["code"] == "unknown_room"
        await accepted(owner, "role", room=room, user_id=bob.id, role="member")
        assert (await tab.join(room))["private"] is True
        await accepted(owner, "remove", room=room, user_id=bob.id)
        assert await tab.receive(type="removed") == {"type": "removed", "room": room, "until": None}
        assert await rejected(tab, "message", room=room, **message()) == "unknown_room"
        assert (await owner.receive(type="system", event="left"))["user_id"] == bob.id

    assert (await bob.ask("GET", f"/api/rooms/{room}/history"))[0] == 404


# --- mute and removal ---------------------------------------------------------------------------


async def test_a_muted_user_reads_and_deletes_but_does_not_write(
    ann: User, bob: User, server: Server, room: str
) -> None:
    await server.get("PUT", f"rooms/{room}/members/{ann.id}", {"role": "moderator"})
    async with ann.connect(room) as moderator, bob.connect(room) as tab:
        await tab.send_message(room, "first")
        await accepted(moderator, "mute", room=room, user_id=bob.id)
        told = await tab.receive(type="muted")
        codes = [
            await rejected(tab, "message", room=room, **message()),
            await rejected(tab, "edit", room=room, seq=1, content="x", revision=0),
            await rejected(tab, "react", room=room, seq=1, emoji="👍"),
            await rejected(tab, "typing", room=room),
        ]
        joined = await tab.join(room)
        await accepted(tab, "delete", room=room, seq=1)
        await accepted(moderator, "mute", room=room, user_id=bob.id, on=False)
        lifted = await tab.receive(type="muted", on=False)
        await accepted(tab, "message", room=room, **message("again"))

        # With an end.
        path = f"/api/moderation/rooms/{room}/members/{bob.id}/mute"
        status, answer = await ann.ask("PUT", path, json={"minutes": 5})
        assert status == 200
        assert (await tab.receive(type="muted", on=True))["until"] == answer["muted_until"]
        (summary,) = (await bob.get("/api/rooms"))["rooms"]
        assert summary["muted_until"] == answer["muted_until"]
        assert (await ann.ask("DELETE", path))[1]["muted_until"] is None

    assert codes == ["muted"] * 4
    assert (told["room"], told["on"], told["until"]) == (room, True, None)
    assert joined["muted_until"].startswith("9999-")
    assert lifted["until"] is None


async def test_an_open_room_refuses_a_removed_user_for_a_time(
    ann: User, bob: User, server: Server, room: str
) -> None:
    await server.get("PUT", f"rooms/{room}", {"owners": [ann.id]})
    async with ann.connect(room) as owner, bob.connect(room) as tab:
        await tab.send_message(room, "first")
        await accepted(owner, "remove", room=room, user_id=bob.id, minutes=5)
        until = (await tab.receive(type="removed"))["until"]
        codes = [
            await rejected(tab, "message", room=room, **message()),
            (await tab.join(room))["code"],
        ]
        listed = await ann.get(f"/api/rooms/{room}/members")
        await server.get("PUT", f"rooms/{room}/members/{bob.id}")
        assert (await tab.join(room))["type"] == "joined"

    assert codes == ["removed", "removed"]
    row = next(one for one in listed["members"] if one["user_id"] == bob.id)
    assert (row["removed_until"], row["member"]) == (until, False)
    status, answer = await bob.ask(
        "DELETE", f"/api/moderation/rooms/{room}/members/{ann.id}", params={"minutes": "5"}
    )
    assert (status, answer["error"]["code"]) == (403, "forbidden")


# --- deletes and the audit log ------------------------------------------------------------------


async def test_moderators_delete_messages_and_every_act_is_recorded(
    stack: Stack,
    http: aiohttp.ClientSession,
    ann: User,
    bob: User,
    carol: User,
    server: Server,
    room: str,
) -> None:
    olivia = await create_vouched_user(http, stack.url, "olivia", operator=True)
    await server.get("PUT", f"rooms/{room}", {"owners": [ann.id]})
    async with ann.connect(room) as owner, bob.connect(room) as tab, carol.connect(room) as third:
        await accepted(owner, "role", room=room, user_id=carol.id, role="moderator")
        for number in range(4):
            await tab.send_message(room, f"text {number}")
        await tab.send_message(room, "by its author")
        await accepted(third, "delete", room=room, seq=1)
        change = await tab.receive_where(lambda one: bool(one.get("changes")))
        await accepted(tab, "delete", room=room, seq=5)
        assert await rejected(tab, "delete", room=room, seq=99) == "unknown_message"
        path = f"/api/moderation/rooms/{room}/messages"
        assert (await carol.ask("DELETE", f"{path}/2"))[0] == 200
        assert (await olivia.ask("DELETE", f"{path}/3"))[0] == 200
        await owner.send_message(room, "by the owner")
        owners = (await ann.get(f"/api/rooms/{room}/history"))["messages"][-1]["seq"]
        assert await rejected(tab, "delete", room=room, seq=owners) == "forbidden"
        assert (await bob.ask("DELETE", f"{path}/{owners}"))[0] == 403
        await accepted(third, "mute", room=room, user_id=bob.id)
        await accepted(third, "remove", room=room, user_id=bob.id)

    assert change["changes"][0]["from"] == carol.id
    page = await ann.get(f"/api/rooms/{room}/history")
    deleted = {one["seq"]: one.get("deleted", False) for one in page["messages"]}
    assert [deleted[seq] for seq in (1, 2, 3, 4, 5)] == [True, True, True, False, True]
    acts = (await olivia.get("/api/audit"))["acts"]
    assert [
        (one["actor"], one["action"], one["target"]) for one in acts if room in one["target"]
    ] == [
        (carol.id, "remove member", f"{room}/{bob.id}"),
        (carol.id, "mute", f"{room}/{bob.id}"),
        ("olivia", "delete message", f"{room}/3"),
        (carol.id, "delete message", f"{room}/2"),
        (carol.id, "delete message", f"{room}/1"),
        (ann.id, "make moderator", f"{room}/{carol.id}"),
        ("key", "open room", room),
    ]


# --- in force at once ---------------------------------------------------------------------------


async def test_a_commit_rejects_a_sender_who_was_checked_before_a_change(
    stack: Stack, one: Instance, room: str
) -> None:
    async with open_instance(stack) as other:
        await one.appender.append(room, MessageDraft("ann", "1", content="a"))
        version = (await other.logs.cached_head(room)).access
        await other.appender.append(room, MessageDraft("ann", "2", content="b", access=version))
        change = AccessDraft("system", "change")
        await one.appender.append(room, change)
        first = (await one.logs.read_head(room)).access

        with pytest.raises(Exception, match="access rules") as caught:
            await other.appender.append(room, MessageDraft("ann", "3", content="c", access=version))
        await other.appender.append(room, MessageDraft("ann", "3", content="c", access=first))
        # A change that is applied twice leads to no version that has been there.
        await other.appender.append(room, AccessDraft("system", "another"))
        await one.appender.append(room, change)

        assert getattr(caught.value, "code", "") == "access_changed"
        page = await other.history.read_page(room)
        assert [entry.content for entry in page.messages] == ["a", "b", "c"]
        assert (page.head.seq, page.head.messages) == (3, 3)
        assert page.head.access not in {version, first}


async def test_the_access_version_of_a_log_without_entries_is_in_force(
    stack: Stack, one: Instance, room: str
) -> None:
    async with open_instance(stack) as other:
        version = (await other.logs.cached_head(room)).access
        await one.appender.append(room, AccessDraft("system", "change"))

        with pytest.raises(Exception, match="access rules"):
            await other.appender.append(room, MessageDraft("ann", "1", content="a", access=version))

        assert (await other.history.read_page(room)).messages == []


@pytest.mark.parametrize("private", [True, False])
async def test_no_instance_stores_a_message_of_a_removed_user(
    stack: Stack,
    strict: Part,
    http: aiohttp.ClientSession,
    ann: User,
    one: Instance,
    *,
    private: bool,
) -> None:
    """Both instances have checked the sender a moment ago. They send on during the removal."""
    servers = [Server(http, stack.url), Server(http, strict.url)]
    services = [Service(http, stack.url), Service(http, strict.url, KEY)]
    random = Random(1)
    late = []
    for number in range(RACES):
        room, user = f"room-{uuid.uuid4().hex}", f"u{number}-{uuid.uuid4().hex[:8]}"
        await servers[0].get("PUT", f"rooms/{room}", {"private": private})
        await servers[0].get("PUT", f"rooms/{room}/members/{user}")

        async def send(
            service: Service, count: int, pause: float, room: str = room, user: str = user
        ) -> list[str | None]:
            codes = []
            for _ in range(count):
                event = {"room": room, **message()}
                codes.append(
                    (await service.send_event("message", event, user=user, rooms=[room])).code
                )
                await asyncio.sleep(pause)
            return codes

        async def remove(room: str = room, user: str = user, number: int = number) -> int:
            await asyncio.sleep(random.random() * 0.03)
            await servers[number % 2].get("DELETE", f"rooms/{room}/members/{user}")
            return (await one.logs.read_head(room)).seq

        warm = [await send(service, 1, 0) for service in services]
        assert warm == [[None], [None]]
        seq, *_ = await asyncio.gather(remove(), *(send(service, 3, 0.01) for service in services))
        after = [await send(service, 1, 0) for service in services]

        assert after == [["unknown_room" if private else "removed"]] * 2
        late.append((await one.logs.read_head(room)).seq - seq)
    assert late == [0] * RACES
    assert (await ann.ask("GET", f"/api/rooms/{room}/history"))[0] == (404 if private else 200)
