"""What people do with each other: talk, write in private, type, read, come back."""

import asyncio
import threading

import aiohttp
import pytest
from azure.messaging.webpubsubclient import WebPubSubClient
from azure.messaging.webpubsubclient.models import (
    CallbackType,
    OnServerDataMessageArgs,
    WebPubSubDataType,
)

from local.parts import Stack
from tests.users import PLAIN, User

# --- in a room --------------------------------------------------------------------------------


async def test_a_message_reaches_everyone_in_the_room(ann: User, bob: User, room: str) -> None:
    async with ann.connect(room) as here, bob.connect(room) as there:
        client_id = await here.send_message(room, "Good morning ☀ 👩‍👩‍👧")

        for reader in (here, there):
            message = await reader.receive(type="message")
            assert message["from"] == ann.id
            assert message["content"] == "Good morning ☀ 👩‍👩‍👧"
            assert (message["seq"], message["id"]) == (1, client_id)


async def test_a_message_is_stored_before_it_is_acknowledged(ann: User, room: str) -> None:
    async with ann.connect(room) as here:
        await here.send_message(room, "stored")

        history = await ann.get(f"/api/rooms/{room}/history")

        assert [entry["content"] for entry in history["messages"]] == ["stored"]
        assert (history["head"], history["more"], history["room"]) == (1, False, room)


async def test_late_joiner_receives_stored_messages(ann: User, bob: User, room: str) -> None:
    async with ann.connect(room) as here:
        for text in ("one", "two", "three"):
            await here.send_message(room, text)

        async with bob.connect() as there:
            joined = await there.join(room)

        assert [entry["content"] for entry in joined["messages"]] == ["one", "two", "three"]
        assert [entry["seq"] for entry in joined["messages"]] == [1, 2, 3]
        assert {user["user_id"] for user in joined["users"]} == {ann.id, bob.id}


async def test_rejoining_user_receives_exactly_the_missed_messages(
    ann: User, bob: User, room: str
) -> None:
    async with ann.connect(room) as here:
        async with bob.connect(room) as there:
            await here.send_message(room, "received")
            received = await there.receive(type="message")
        for text in ("missed one", "missed two"):
            await here.send_message(room, text)

        async with bob.connect() as again:
            joined = await again.join(room, after=received["seq"], epoch=received["epoch"])

        assert joined["recovered"]
        assert [entry["content"] for entry in joined["messages"]] == ["missed one", "missed two"]


async def test_messages_of_other_rooms_are_not_received(ann: User, bob: User, room: str) -> None:
    async with ann.connect(room) as here, bob.connect(f"{room}-next-door") as there:
        await here.send_message(room, "between us")
        await there.send_message(f"{room}-next-door", "all quiet")
        await there.receive(type="message", content="all quiet")

        assert there.texts(room) == []


async def test_user_who_left_neither_receives_nor_sends_messages(
    ann: User, bob: User, room: str
) -> None:
    async with ann.connect(room) as here, bob.connect(room) as there:
        await there.send("leave", {"room": room})
        await there.receive(type="left", room=room)
        await here.send_message(room, "is anybody there")
        refused = await there.send_rejected("message", {"room": room, "content": "yes", "id": "1"})

        assert refused["code"] == "not_in_room"
        assert there.texts(room) == []


async def test_a_server_sends_a_message_to_a_room(
    stack: Stack, http: aiohttp.ClientSession, ann: User, room: str
) -> None:
    body = {"content": "Maintenance at noon.", "from": "operator", "id": "notice-1"}
    async with ann.connect(room) as here:
        answers = []
        for _ in range(2):
            async with http.post(f"{stack.url}/api/rooms/{room}/message", json=body) as answer:
                answers.append(await answer.json())

        assert answers == [{"status": "sent", "room": room, "seq": 1, "id": "notice-1"}] * 2
        assert (await here.receive(type="message"))["from"] == "operator"


# --- between two people -------------------------------------------------------------------------


async def test_a_direct_message_reaches_only_the_connections_of_both_users(
    stack: Stack, http: aiohttp.ClientSession, ann: User, bob: User, room: str
) -> None:
    eve = await User.create(http, stack.url, "eve")
    async with (
        ann.connect(room) as here,
        ann.connect() as second_tab,
        bob.connect(room) as there,
        eve.connect(room) as outside,
    ):
        await here.send("direct", {"to": bob.id, "content": "psst", "id": "1"})

        for reader in (here, second_tab, there):
            message = await reader.receive(type="direct_message")
            assert (message["from"], message["to"]) == (ann.id, bob.id)
            assert (message["content"], message["seq"]) == ("psst", 1)
        await outside.send_message(room, "something else")
        await outside.receive(type="message")
        assert [frame for frame in outside.received if frame["type"] == "direct_message"] == []


async def test_only_its_two_users_read_a_direct_conversation(
    stack: Stack, http: aiohttp.ClientSession, ann: User, bob: User
) -> None:
    eve = await User.create(http, stack.url, "eve")
    async with ann.connect() as here, bob.connect() as there:
        await here.send("direct", {"to": bob.id, "content": "question", "id": "1"})
        await there.send("direct", {"to": ann.id, "content": "answer", "id": "1"})

    said = ["question", "answer"]
    for person, other in ((ann, bob), (bob, ann)):
        history = await person.get(f"/api/direct/{other.id}/history")
        assert [entry["content"] for entry in history["messages"]] == said
    for other in (ann, bob):
        assert (await eve.get(f"/api/direct/{other.id}/history"))["messages"] == []
    status, _ = await eve.ask("GET", f"/api/rooms/{ann.id}:{bob.id}/history")
    assert status == 400


async def test_direct_messages_to_an_offline_user_are_listed_as_unread(
    ann: User, bob: User
) -> None:
    async with bob.connect("lobby"):
        pass  # Bob was here once.
    async with ann.connect() as here:
        for number in range(3):
            await here.send("direct", {"to": bob.id, "content": f"{number}", "id": f"{number}"})

    waiting = (await bob.get("/api/rooms"))["direct"]

    assert [(one["user_id"], one["head"], one["unread"]) for one in waiting] == [(ann.id, 3, 3)]


@pytest.mark.parametrize(
    ("to", "code"),
    [("self", "direct_to_self"), ("nobody-xyz", "unreachable"), ("a b", "invalid_user")],
)
async def test_a_direct_message_to_an_invalid_recipient_is_rejected(
    ann: User, to: str, code: str
) -> None:
    async with ann.connect() as here:
        whom = ann.id if to == "self" else to
        refused = await here.send_rejected("direct", {"to": whom, "content": "hm", "id": "1"})

    assert (refused["code"], refused["retry"]) == (code, False)


# --- typing and reading -------------------------------------------------------------------------


async def test_typing_is_published_once_in_three_seconds_and_not_stored(
    ann: User, bob: User, room: str
) -> None:
    async with ann.connect(room) as here, bob.connect(room) as there:
        for _ in range(5):
            await here.send("typing", {"room": room})
        await here.send_message(room, "done")
        await there.receive(type="message")

        told = [frame for frame in there.received if frame.get("type") == "typing"]
        assert told == [{"type": "typing", "room": room, "user_id": ann.id, "name": "ann"}]
        assert (await ann.get(f"/api/rooms/{room}/history"))["head"] == 1


async def test_a_read_marker_is_published_to_other_tabs_and_never_moves_back(
    ann: User, room: str
) -> None:
    async with ann.connect(room) as here, ann.connect(room) as second_tab:
        for text in ("one", "two", "three"):
            await here.send_message(room, text)
        for seq in (2, 1):
            await here.send("read", {"room": room, "seq": seq})

        assert await second_tab.receive(type="read") == {"type": "read", "room": room, "seq": 2}
        (standing,) = (await ann.get("/api/rooms"))["rooms"]
        assert (standing["head"], standing["read"], standing["unread"]) == (3, 2, 1)


async def test_a_read_marker_applies_on_another_device(ann: User, bob: User, room: str) -> None:
    async with ann.connect(room) as here:
        async with bob.connect(room) as there:
            await here.send_message(room, "one")
            await there.send("read", {"room": room, "seq": 1})
        await here.send_message(room, "two")
        await here.send_message(room, "three")

        async with bob.connect() as another:
            joined = await another.join(room)

    assert (joined["head"], joined["read"]) == (3, 1)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"room": "ROOM", "seq": 2}, "invalid_cursor"),
        ({"room": "ROOM", "seq": -1}, "invalid_cursor"),
        ({"room": "ROOM", "seq": "1"}, "invalid_request"),
        ({"seq": 1}, "invalid_request"),
        ({"room": "ROOM", "to": "bob", "seq": 1}, "invalid_request"),
        ({"room": "elsewhere", "seq": 1}, "not_in_room"),
    ],
    ids=str,
)
async def test_an_invalid_read_marker_is_rejected(
    ann: User, room: str, data: dict[str, object], code: str
) -> None:
    async with ann.connect(room) as here:
        await here.send_message(room, "one")
        said = {name: room if value == "ROOM" else value for name, value in data.items()}

        refused = await here.send_rejected("read", said)

        assert refused["code"] == code
        assert (await ann.get("/api/rooms"))["rooms"][0]["read"] == 0


async def test_a_read_marker_is_stored_only_in_a_conversation_of_the_user(
    ann: User, bob: User
) -> None:
    async with ann.connect() as here:
        refused = await here.send_rejected("read", {"to": bob.id, "seq": 0})

    assert refused["code"] == "not_in_room"
    assert (await ann.get("/api/rooms"))["direct"] == []


async def test_the_conversation_list_is_paged(ann: User, room: str) -> None:
    names = [f"{room}-{number}" for number in range(7)]
    async with ann.connect(*names) as here:
        await here.send_message(names[6], "one")
    found, after, pages = [], "", 0

    while after is not None:
        page = await ann.get(f"/api/rooms?limit=3&after={after}")
        found += [(one["room"], one["head"]) for one in page["rooms"]]
        after, pages = page.get("next"), pages + 1

    assert found == [(name, int(name == names[6])) for name in names]
    assert pages == 3


# --- other clients ------------------------------------------------------------------------------


async def test_a_client_without_the_reliable_subprotocol_sends_and_receives(
    ann: User, room: str
) -> None:
    async with ann.connect(room, subprotocol=PLAIN) as here:
        await here.send_message(room, "plain")

        assert (await here.receive(type="message"))["content"] == "plain"


async def test_the_microsoft_client_library_sends_and_receives(ann: User, room: str) -> None:
    """azure-messaging-webpubsubclient, as anybody would use it."""
    received: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    spoken = threading.Event()
    loop = asyncio.get_running_loop()
    admission = await ann.negotiate()

    def listen(message: OnServerDataMessageArgs) -> None:
        loop.call_soon_threadsafe(received.put_nowait, message.data)

    def talk() -> None:
        client = WebPubSubClient(admission["url"])
        client.subscribe(CallbackType.SERVER_MESSAGE, listen)
        client.subscribe(CallbackType.GROUP_MESSAGE, listen)
        with client:
            client.send_event("join", {"room": room}, WebPubSubDataType.JSON)
            said = {"room": room, "content": "hello", "id": "1"}
            client.send_event("message", said, WebPubSubDataType.JSON)
            spoken.wait(10)

    talking = asyncio.ensure_future(asyncio.to_thread(talk))
    async with asyncio.timeout(10):
        frames = [await received.get()]
        while frames[-1]["type"] != "message":
            frames.append(await received.get())
    spoken.set()
    await talking

    assert [frame["type"] for frame in frames if frame["type"] != "system"] == ["joined", "message"]
    assert frames[-1]["content"] == "hello"
