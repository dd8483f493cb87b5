"""The data of one user: its export, and its deletion when instances or services fail."""

import asyncio
import json
import os
import random
import sys
import uuid
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from local.parts import ROOT, Part, Stack, free_ports, start_functions
from realtime.azure.tables import TABLE_NAMES
from realtime.messages import format_timestamp
from realtime.names import DELETED_USER
from realtime.rooms.authors import MIN_ROW_AGE, Authors
from realtime.rooms.drafts import MessageDraft
from realtime.rooms.erasure import Erasure
from realtime.rooms.log_rows import QUEUE_PREFIX
from realtime.rooms.retention import purge
from realtime.settings import LOCAL_SECRET
from realtime.user_data.deletion import MIN_DELETION_SECONDS
from realtime.users.memberships import Memberships
from tests.instances import Instance, instance
from tests.strict import QUIET
from tests.test_operators import create_vouched_user
from tests.users import Connection, User

DEADLINE_SECONDS = 60.0

SCRIPTS = ("Zoë Ängström", "Ольга Иванова", "王小明 张", "महेश शर्मा", "Ann-Sophie 🦀 O'Neil")


@pytest.fixture(scope="module")
def other(stack: Stack) -> Iterator[Part]:
    """A second instance of the app on the same tables and the same service."""
    part = start_other(stack)
    try:
        part.wait()
        yield part
    finally:
        part.stop()


def start_other(stack: Stack) -> Part:
    environment = {**stack.environment, **QUIET, "MESSAGES_PER_MINUTE": "60000"}
    return start_functions(free_ports(1)[0], environment)


async def create_named(http: aiohttp.ClientSession, url: str, name: str) -> User:
    """A guest whose id does not have the letters of the name."""
    user = await User.create(http, url, "guest")
    status, body = await user.ask("PATCH", "/api/me", json={"name": name, "status": f"{name} away"})
    assert status == 200, body
    user.session = body["session"]
    return user


async def find_texts(one: Instance, *texts: str) -> list[tuple[str, str, str]]:
    """Table, partition and row of everything in which one of the texts is."""
    found = []
    for name in TABLE_NAMES:
        async for row in one.tables.open(name).list_entities():
            values = [value for key, value in row.items() if key != "PartitionKey"]
            stored = json.dumps([str(value) for value in values], ensure_ascii=False)
            if any(text in stored or json.dumps(text)[1:-1] in stored for text in texts):
                found.append((name, row["PartitionKey"], row["RowKey"]))
    return found


async def find_ids(one: Instance, user_id: str) -> set[str]:
    """The tables that have the id in a key or a value."""
    found = set()
    for name in TABLE_NAMES:
        async for row in one.tables.open(name).list_entities():
            if user_id in str(row):
                found.add(name)
    return found


async def make_old(one: Instance, user_id: str) -> None:
    """Let the deletion of a user be as old as it has to be before it is finished."""
    began = format_timestamp(datetime.now(UTC) - timedelta(seconds=MIN_DELETION_SECONDS + 1))
    row = {"PartitionKey": "deletions", "RowKey": f"deleted:{user_id}", "timestamp": began}
    await one.tables.open("deletions").upsert_entity(row)


async def delete_by_key(http: aiohttp.ClientSession, url: str, user_id: str) -> Any:
    async with http.delete(f"{url}/api/server/users/{user_id}") as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def export_all(user: User, path: str = "") -> list[dict[str, Any]]:
    pages = [await user.get(path or f"/api/users/{user.id}/export")]
    while pages[-1]["next"]:
        pages.append(await user.get(f"/api/users/{user.id}/export?after={pages[-1]['next']}"))
    return pages


def entries_of(pages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for page in pages for one in page[kind]]


# --- deletion -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_only_the_data_of_the_deleted_user_is_deleted(
    stack: Stack, other: Part, http: aiohttp.ClientSession, one: Instance, seed: int
) -> None:
    chance = random.Random(seed)
    secret = uuid.uuid4().hex
    name = f"{SCRIPTS[seed]} {secret[:8]}"
    ann = await create_named(http, stack.url, name)
    bob = await User.create(http, other.url, "bob")
    await ann.ask("POST", "/api/streams/weather/subscribe")
    rooms = [f"room-{uuid.uuid4().hex}" for _ in range(chance.randint(1, 3))]
    kept: dict[str, list[str]] = {room: [] for room in rooms}
    async with ann.connect(*rooms) as from_ann, bob.connect(*rooms) as from_bob:
        for _ in range(chance.randint(10, 40)):
            await act(chance, from_ann, from_bob, rooms, kept, secret)
        for sender, to in ((from_ann, bob), (from_bob, ann)):
            text = f"direct {secret if sender is from_ann else 'of bob'}"
            await sender.send("direct", {"to": to.id, "content": text, "id": uuid.uuid4().hex})
        before = {room: await bob.get(f"/api/rooms/{room}/history?limit=200") for room in rooms}
        mine = sum(
            message["from"] == ann.id and not message.get("deleted")
            for page in before.values() for message in page["messages"]
        )  # fmt: skip

        status, response = await ann.ask("DELETE", f"/api/users/{ann.id}")

        assert (status, response) == (200, {"user_id": ann.id, "deleted": True, "pending": True})
        await asyncio.wait_for(from_ann.closed(), DEADLINE_SECONDS)
        received = await receive_deletes(from_bob, mine + 1)
        assert len(received) == mine + 1
        for room in rooms:
            await check_history(from_bob, bob, room, before[room], ann.id, kept[room])
        direct = (await bob.get(f"/api/direct/{ann.id}/history"))["messages"]
        assert [one["content"] for one in direct] == ["", "direct of bob"]

        await make_old(one, ann.id)
        assert not (await delete_by_key(http, other.url, ann.id))["pending"]

        assert await find_texts(one, secret, name) == []
        # The id is left where others' rows refer to it, and where it is kept from being used.
        assert await find_ids(one, ann.id) <= {
            "audit", "authors", "deletions", "history", "logs", "memberships",
        }  # fmt: skip
        for table in ("authors", "memberships"):
            async for row in one.tables.open(table).list_entities():
                assert row["PartitionKey"] != ann.id
        async for row in one.tables.open("history").list_entities():
            assert ann.id not in str({**row, "PartitionKey": ""}), "others' entries name nobody"


async def act(
    chance: random.Random,
    from_ann: Connection,
    from_bob: Connection,
    rooms: list[str],
    kept: dict[str, list[str]],
    secret: str,
) -> None:
    """One of the users does something in one of the rooms."""
    room = chance.choice(rooms)
    ends = [frame for frame in from_bob.received if frame.get("room") == room and "seq" in frame]
    last = max((frame["seq"] for frame in ends if frame["type"] == "message"), default=0)
    kind = chance.choice(["message", "message", "react", "edit", "delete"])
    sender, text = chance.choice([(from_ann, f"{secret} says"), (from_bob, "of bob")])
    if kind == "message" or not last:
        text += " " + uuid.uuid4().hex
        if sender is from_bob:
            kept[room].append(text)
        await sender.send("message", {"room": room, "content": text, "id": uuid.uuid4().hex})
        await from_bob.receive_where(lambda frame: text in str(frame), within=DEADLINE_SECONDS)
    elif kind == "react":
        await sender.send("react", {"room": room, "seq": last, "emoji": chance.choice("👍🎉🦀")})
    elif kind == "edit":
        edit = {"room": room, "seq": last, "content": f"{secret} edits", "revision": 0}
        await from_ann.send("edit", edit)  # Rejected where the message is Bob's.
    else:
        await from_ann.send("delete", {"room": room, "seq": last})


async def receive_deletes(connection: Connection, number: int) -> set[tuple[str, int]]:
    """The deletes that a client has received by "system": room or users, and seq."""

    def collect() -> set[tuple[str, int]]:
        return {
            (frame.get("room") or str(frame["users"]), change["target"])
            for frame in connection.received
            for change in frame.get("changes") or []
            if change["kind"] == "delete" and change["from"] == "system"
        }

    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(collect()) < number:
            await connection.receive_where(
                lambda frame: "changes" in frame, within=DEADLINE_SECONDS
            )
    return collect()


async def check_history(
    tab: Connection, bob: User, room: str, before: Any, user_id: str, kept: list[str]
) -> None:
    """The history has the same messages, those of the deleted user as anonymous tombstones."""
    after = await bob.get(f"/api/rooms/{room}/history?limit=200")
    await tab.send("join", {"room": room, "after": before["head"], "epoch": before["epoch"]})
    joined = await tab.receive(type="joined", room=room)

    assert [one["seq"] for one in after["messages"]] == [one["seq"] for one in before["messages"]]
    deleted = [one for one in after["messages"] if one["from"] == DELETED_USER]
    assert len(deleted) == sum(one["from"] == user_id for one in before["messages"])
    assert all(one["deleted"] and one["content"] == "" for one in deleted)
    assert all("name" not in one for one in deleted)
    others = [one for one in after["messages"] if one not in deleted]
    assert [one["content"] for one in others] == kept
    assert joined["recovered"], "a client that recovers receives the deletes"
    assert joined["head"] == after["head"] >= before["head"]


async def test_rights_and_mentions_in_rooms_that_the_user_left_are_deleted(
    stack: Stack, http: aiohttp.ClientSession, one: Instance, ann: User, bob: User
) -> None:
    """An owner and moderator, muted in a room and mentioned in it."""
    owned, private, open_room = (f"room-{uuid.uuid4().hex}" for _ in range(3))
    member = f"{private}/members/{ann.id}"
    for path, settings in (
        (owned, {"owners": [ann.id, bob.id]}),
        (private, {"private": True}),
        (member, {"role": "moderator"}),
        (f"{open_room}/members/{ann.id}/mute", {}),
    ):
        async with http.put(f"{stack.url}/api/rooms/{path}", json=settings) as response:
            assert response.status == 200
    async with ann.connect(owned, open_room) as from_ann, bob.connect(open_room) as from_bob:
        mention = {"room": open_room, "content": "hello", "id": "1", "mentions": [ann.id]}
        await from_bob.send("message", mention)
        for room in (owned, open_room):
            await from_ann.send("leave", {"room": room})

    await ann.ask("DELETE", f"/api/users/{ann.id}")
    await make_old(one, ann.id)
    assert not (await delete_by_key(http, stack.url, ann.id))["pending"]

    async for row in one.tables.open("rooms").list_entities():
        assert ann.id not in str(row)
    async for row in one.logs.query_rows(open_room, "n:", "n;"):
        raise AssertionError(f"{row} counts a mention of the deleted user")
    assert (await bob.get(f"/api/rooms/{owned}/members"))["members"] == [
        {"user_id": bob.id, "name": "bob", "role": "owner", "member": True}
    ]


async def test_nothing_is_stored_for_a_deleted_user(
    stack: Stack, http: aiohttp.ClientSession, bob: User, room: str
) -> None:
    user_id = f"customer_{uuid.uuid4().hex[:12]}"
    await create_vouched_user(http, stack.url, user_id)
    owners = {"owners": [bob.id]}
    reaction = {"emoji": "👍", "from": user_id}
    async with bob.connect(room) as tab:
        await tab.send_message(room, "hello")
        async with http.put(f"{stack.url}/api/rooms/{room}", json=owners) as response:
            assert response.status == 200
        await delete_by_key(http, stack.url, user_id)

        for method, path, body in (
            ("POST", "messages/1/reactions", reaction),
            ("POST", "messages/1/reactions", {**reaction, "from": DELETED_USER}),
            ("PATCH", "messages/1", {"content": "x", "revision": 0, "from": user_id}),
            ("PUT", f"members/{user_id}", {}),
            ("PUT", f"members/{user_id}/mute", {}),
            ("DELETE", f"members/{user_id}", None),
            ("PUT", "", {"owners": [bob.id, user_id]}),
        ):
            url = f"{stack.url}/api/rooms/{room}/{path}".rstrip("/")
            async with http.request(method, url, json=body) as response:
                answer = (response.status, (await response.json())["error"]["code"])
            assert answer == (410, "user_deleted"), (method, path)
        for event in ("mute", "remove"):
            refused = await tab.send_rejected(event, {"room": room, "user_id": user_id})
            assert refused["code"] == "user_deleted"


async def test_sessions_and_id_of_a_deleted_user_are_rejected(
    stack: Stack, other: Part, http: aiohttp.ClientSession, bob: User
) -> None:
    user_id = f"customer_{uuid.uuid4().hex[:12]}"
    carol = await create_vouched_user(http, stack.url, user_id)
    token = (await carol.negotiate())["url"]
    await carol.get("/api/rooms")

    await delete_by_key(http, other.url, user_id)

    assert (await carol.ask("POST", "/api/negotiate"))[0] == 401
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(token, protocols=["json.webpubsub.azure.v1"])
    assert refused.value.status in {401, 403}
    path = f"{stack.url}/api/users/{user_id}"
    async with http.post(f"{path}/session", json={"name": "Carol"}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (410, "user_deleted")
    async with http.post(f"{path}/message", json={"content": "hello"}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (410, "user_deleted")
    async with bob.connect() as tab:
        response = await tab.send_rejected("direct", {"to": user_id, "content": "hello", "id": "1"})
    assert response["code"] == "unreachable"
    # A repeated request of the user, whose response was lost, is answered, and not recorded.
    for _ in range(2):
        assert (await carol.ask("DELETE", f"/api/users/{user_id}"))[0] == 200
    olivia = await create_vouched_user(http, stack.url, "olivia", operator=True)
    acts = (await olivia.get("/api/audit"))["acts"]
    assert [one["action"] for one in acts if one["target"] == user_id] == ["delete user", "mint"]


async def test_only_the_user_and_operators_export_and_delete(
    stack: Stack, http: aiohttp.ClientSession, ann: User, bob: User
) -> None:
    olivia = await create_vouched_user(http, stack.url, "olivia", operator=True)
    for method, path in (
        ("GET", f"/api/users/{ann.id}/export"),
        ("DELETE", f"/api/users/{ann.id}"),
    ):
        status, body = await bob.ask(method, path)
        assert (status, body["error"]["code"]) == (403, "forbidden")

    assert (await olivia.ask("GET", f"/api/users/{ann.id}/export"))[0] == 200
    assert (await olivia.ask("DELETE", f"/api/users/{ann.id}"))[0] == 200

    acts = (await olivia.get("/api/audit?limit=5"))["acts"]
    mine = [(one["actor"], one["action"]) for one in acts if one["target"] == ann.id]
    assert mine == [("olivia", "delete user"), ("olivia", "export")]


async def test_a_banned_user_gets_the_own_data_and_may_delete_it(
    stack: Stack, http: aiohttp.ClientSession, ann: User
) -> None:
    async with http.put(f"{stack.url}/api/users/{ann.id}/ban") as response:
        assert response.status == 200

    assert (await ann.ask("GET", f"/api/users/{ann.id}/export"))[0] == 200
    assert (await ann.ask("DELETE", f"/api/users/{ann.id}"))[0] == 200


CALLS = """
import asyncio, sys
from realtime.user_data.deletion import continue_deletion

async def call(user_id, times):
    for _ in range(times):
        print((await continue_deletion(user_id, timeout_seconds=0.0)).pending)

asyncio.run(call(sys.argv[1], int(sys.argv[2])))
"""


async def test_each_call_of_a_long_deletion_ends_at_its_deadline_and_makes_progress(
    stack: Stack, separate_tables: str
) -> None:
    """Otherwise a user with many rooms keeps a timer beyond the platform's timeout, each minute."""
    user_id = f"ann-{uuid.uuid4().hex}"
    settings = {"TABLES_CONNECTION_STRING": separate_tables, "SESSION_SECRET": LOCAL_SECRET}

    async def call(times: int) -> list[str]:
        """Whether the deletion is pending after each call."""
        called = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CALLS, user_id, f"{times}"),
            stdout=PIPE,
            cwd=ROOT,
            env={**os.environ, **stack.environment, **settings},
        )
        return (await called.communicate())[0].decode().split()

    async with instance(stack, tables=separate_tables) as one:

        async def count(table: str) -> int:
            rows = one.tables.open(table).query_entities(
                "PartitionKey eq @user", parameters={"user": user_id}
            )
            return len([row async for row in rows])

        memberships = Memberships(one.tables)
        await asyncio.gather(
            *(memberships.add(user_id, "room", f"room-{number}") for number in range(250)),
            *(one.logs.index.authors.add(f"room-{number}", [user_id]) for number in range(4)),
        )

        assert await call(1) == ["True"]
        assert (await count("memberships"), await count("authors")) == (250, 4)
        await make_old(one, user_id)
        assert await call(4) == ["True"] * 4
        assert (await count("memberships"), await count("authors")) == (150, 0)
        assert await call(2) == ["True", "False"]
        assert await count("memberships") == 0


@pytest.mark.timeout(180)
async def test_a_deletion_continues_after_its_instance_was_killed(
    stack: Stack, http: aiohttp.ClientSession, one: Instance, bob: User, room: str
) -> None:
    ann = await create_named(http, stack.url, "Ann Killed")
    secret = uuid.uuid4().hex
    drafts = [
        MessageDraft(ann.id, f"{n}", "Ann Killed", content=f"{secret} {n}") for n in range(600)
    ]
    await asyncio.gather(*(one.appender.append(room, draft) for draft in drafts))
    victim = start_other(stack)
    victim.wait()
    try:
        async with bob.connect(room) as tab:
            deleting = asyncio.create_task(delete_by_key(http, victim.url, ann.id))
            await tab.receive_where(lambda frame: "changes" in frame, within=DEADLINE_SECONDS)
            victim.kill()
            with pytest.raises((aiohttp.ClientError, AssertionError)):
                await deleting
            assert await find_texts(one, secret) != [], "it was interrupted"

            await make_old(one, ann.id)
            async with http.post(
                f"{stack.url}/admin/functions/reconcile_presence", json={}
            ) as response:
                assert response.status == 202
            await receive_deletes(tab, len(drafts))
            async with asyncio.timeout(DEADLINE_SECONDS):
                while (await delete_by_key(http, stack.url, ann.id))["pending"]:
                    continue
    finally:
        victim.stop()

    assert await find_texts(one, secret, "Ann Killed") == []
    page = await bob.get(f"/api/rooms/{room}/history?after=0&limit=200")
    assert page["head"] == 1200, "each message has one delete"


async def test_uncommitted_drafts_are_removed_with_their_user(
    one: Instance, room: str, ann: User
) -> None:
    """An instance that ends leaves its drafts in a queue row; the next commit would remove it."""
    key = f"{QUEUE_PREFIX}0000000000001-abc"
    draft = MessageDraft(ann.id, "1", content="in the queue")
    await one.logs.insert_queue_row(room, key, "", [draft])

    assert [name async for name in one.logs.index.authors.list_logs(ann.id)] == [room]
    assert not await Erasure(one.logs, one.appender).remove_queued(room, ann.id), "it is too young"
    assert await Erasure(one.logs, one.appender).remove_queued(room, "bob-22222222")


# --- export -------------------------------------------------------------------------------------


async def test_an_export_has_everything_of_the_user_in_bounded_pages(
    stack: Stack, http: aiohttp.ClientSession, one: Instance, bob: User, room: str
) -> None:
    ann = await create_named(http, stack.url, "Ann Export")
    await ann.ask("POST", "/api/streams/weather/subscribe")
    await ann.ask("PUT", "/api/users/carol-22222222/block")
    texts = {f"{n} " + "x" * (n * 37 % 3900) for n in range(400)}
    async with ann.connect(room) as tab, bob.connect(room) as other_tab:
        await other_tab.send_message(room, "a text of bob")
        await tab.send("react", {"room": room, "seq": 1, "emoji": "👍"})
        await asyncio.gather(
            *(
                one.appender.append(room, MessageDraft(ann.id, f"{n}", content=text))
                for n, text in enumerate(sorted(texts))
            )
        )
        await tab.send("direct", {"to": bob.id, "content": "to bob", "id": "1"})
        await tab.send("leave", {"room": room})

    pages = await export_all(ann)

    assert len(pages) > 2
    assert all(len(json.dumps(page)) < 300_000 for page in pages)
    assert pages[0]["profile"] == {
        "name": "Ann Export", "status": "Ann Export away", "colour": None,
    }  # fmt: skip
    assert pages[0]["streams"] == ["weather"]
    assert pages[0]["blocked"] == ["carol-22222222"]
    assert [one["user_id"] for one in entries_of(pages, "conversations")] == [bob.id]
    messages = entries_of(pages, "messages")
    assert {one["message"]["content"] for one in messages if one.get("room") == room} == texts
    assert [one["message"]["content"] for one in messages if one.get("user_id")] == ["to bob"]
    assert len(messages) == len(texts) + 1, "each is in one page"
    assert [one["change"]["emoji"] for one in entries_of(pages, "changes")] == ["👍"]
    assert "a text of bob" not in json.dumps(pages)


# --- the index of authors -----------------------------------------------------------------------


@pytest.fixture
async def wall(one: Instance) -> list[datetime]:
    """The time by which rows of the index are judged old; a test moves it."""
    moments = [datetime.now(UTC)]
    one.logs.index.authors = Authors(one.tables, now=lambda: moments[-1])
    return moments


async def test_a_row_of_the_index_is_deleted_with_the_last_entry_of_its_author(
    one: Instance, room: str, wall: list[datetime]
) -> None:
    authors = one.logs.index.authors
    one.time = datetime.now(UTC) - timedelta(days=100)
    await one.appender.append(room, MessageDraft("ann-1", "1", content="old"))
    await one.appender.append(room, MessageDraft("bob-1", "1", content="old"))
    one.time = datetime.now(UTC)
    await one.appender.append(room, MessageDraft("bob-1", "2", content="new"))

    async def listed() -> list[bool]:
        return [room in [n async for n in authors.list_logs(user)] for user in ("ann-1", "bob-1")]

    wall.append(wall[0] + MIN_ROW_AGE - timedelta(minutes=5))
    await authors.remove_unused(room, ["ann-1"], lambda _: no_rows())
    assert await listed() == [True, True], "an instance may take the row for stored"
    wall.append(wall[0] + MIN_ROW_AGE + timedelta(minutes=5))
    await purge(one.logs, datetime.now(UTC), 90)

    assert await listed() == [False, True]


async def no_rows() -> AsyncIterator[object]:
    for row in ():
        yield row


async def test_a_row_of_the_index_is_written_once_on_an_instance(one: Instance, room: str) -> None:
    async def read_etag() -> str:
        row = await one.tables.open("authors").get_entity("ann-1", room)
        return str(row.metadata["etag"])

    await one.appender.append(room, MessageDraft("ann-1", "1", content="first"))
    before = await read_etag()
    for n in range(2, 5):
        await one.appender.append(room, MessageDraft("ann-1", f"{n}", content="more"))

    assert await read_etag() == before
