"""Messages in rooms and direct conversations, typing, read markers and rejoining."""

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
    async with ann.connect(room) as ann_tab, bob.connect(room) as bob_tab:
        client_id = await ann_tab.send_message(room, "Good morning ☀ 👩‍👩‍👧")

        for reader in (ann_tab, bob_tab):
            message = await reader.receive(type="message")
            assert message["from"] == ann.id
            assert message["content"] == "Good morning ☀ 👩‍👩‍👧"
            assert (message["seq"], message["id"]) == (1, client_id)


async def test_a_message_is_stored_before_it_is_acknowledged(ann: User, room: str) -> None:
    async with ann.connect(room) as ann_tab:
        await ann_tab.send_message(room, "stored")

        history = await ann.get(f"/api/rooms/{room}/history")

        assert [entry["content"] for entry in history["messages"]] == ["stored"]
        assert (history["head"], history["more"], history["room"]) == (1, False, room)


async def test_late_joiner_receives_stored_messages(ann: User, bob: User, room: str) -> None:
    async with ann.connect(room) as ann_tab:
        for text in ("one", "two", "three"):
            await ann_tab.send_message(room, text)

        async with bob.connect() as bob_tab:
            joined = await bob_tab.join(room)

        assert [entry["content"] for entry in joined["messages"]] == ["one", "two", "three"]
        assert [entry["seq"] for entry in joined["messages"]] == [1, 2, 3]
        assert {user["user_id"] for user in joined["users"]} == {ann.id, bob.id}


async def test_rejoining_user_receives_exactly_the_missed_messages(
    ann: User, bob: User, room: str
) -> None:
    async with ann.connect(room) as ann_tab:
        async with bob.connect(room) as bob_tab:
            await ann_tab.send_message(room, "received")
            received = await bob_tab.receive(type="message")
        for text in ("missed one", "missed two"):
            await ann_tab.send_message(room, text)

        async with bob.connect() as bob_tab_2:
            joined = await bob_tab_2.join(room, after=received["seq"], epoch=received["epoch"])

        assert joined["recovered"]
        assert [entry["content"] for entry in joined["messages"]] == ["missed one", "missed two"]


async def test_messages_of_other_rooms_are_not_received(ann: User, bob: User, room: str) -> None:
    async with ann.connect(room) as ann_tab, bob.connect(f"{room}-2") as bob_tab:
        await ann_tab.send_message(room, "between us")
        await bob_tab.send_message(f"{room}-2", "all quiet")
        await bob_tab.receive(type="message", content="all quiet")

        assert bob_tab.texts(room) == []


async def test_user_who_left_neither_receives_nor_sends_messages(
    ann: User, bob: User, room: str
) -> None:
    async with ann.connect(room) as ann_tab, bob.connect(room) as bob_tab:
        await bob_tab.send("leave", {"room": room})
        await bob_tab.receive(type="left", room=room)
        await ann_tab.send_message(room, "is anybody there")
        refused = await bob_tab.send_rejected(
            "message", {"room": room, "content": "yes", "id": "1"}
        )

        assert refused["code"] == "not_in_room"
        assert bob_tab.texts(room) == []


async def test_who_leaves_a_room_leaves_it_on_all_connections(
    ann: User, bob: User, room: str
) -> None:
    async with (
        ann.connect(room) as here, ann.connect(room) as elsewhere, bob.connect(room) as tab,
    ):  # fmt: skip
        await here.send("leave", {"room": room})
        told = await elsewhere.receive(type="left", room=room)
        answer = await here.receive(type="left", room=room)
        await tab.receive(type="system", event="left", user_id=ann.id)
        await tab.send_message(room, "ann does not read this")
        users = await bob.get(f"/api/rooms/{room}/users")
        rooms = (await ann.get("/api/rooms"))["rooms"]
        await elsewhere.join(room)  # what follows comes after all messages of before
        texts = [elsewhere.texts(room), here.texts(room)]
        frames = [frame for frame in here.received if frame.get("type") == "left"]

    assert told == {"type": "left", "room": room, "elsewhere": True}
    assert frames == [answer] == [{"type": "left", "room": room}]
    assert [one["user_id"] for one in users["users"]] == [bob.id]
    assert (rooms, texts) == ([], [[], []])


async def test_a_server_sends_a_message_to_a_room(
    stack: Stack, http: aiohttp.ClientSession, ann: User, room: str
) -> None:
    body = {"content": "Maintenance at noon.", "from": "operator", "id": "notice-1"}
    async with ann.connect(room) as ann_tab:
        responses = []
        for _ in range(2):
            async with http.post(f"{stack.url}/api/rooms/{room}/message", json=body) as response:
                responses.append(await response.json())

        assert responses == [{"status": "sent", "room": room, "seq": 1, "id": "notice-1"}] * 2
        assert (await ann_tab.receive(type="message"))["from"] == "operator"


# --- direct conversations -----------------------------------------------------------------------


async def test_a_direct_message_reaches_only_the_connections_of_both_users(
    stack: Stack, http: aiohttp.ClientSession, ann: User, bob: User, room: str
) -> None:
    eve = await User.create(http, stack.url, "eve")
    async with (
        ann.connect(room) as ann_tab,
        ann.connect() as second_tab,
        bob.connect(room) as bob_tab,
        eve.connect(room) as outside,
    ):
        await ann_tab.send("direct", {"to": bob.id, "content": "psst", "id": "1"})

        for reader in (ann_tab, second_tab, bob_tab):
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
    async with ann.connect() as ann_tab, bob.connect() as bob_tab:
        await ann_tab.send("direct", {"to": bob.id, "content": "question", "id": "1"})
        await bob_tab.send("direct", {"to": ann.id, "content": "answer", "id": "1"})

    contents = ["question", "answer"]
    for user, other in ((ann, bob), (bob, ann)):
        history = await user.get(f"/api/direct/{other.id}/history")
        assert [entry["content"] for entry in history["messages"]] == contents
    for other in (ann, bob):
        assert (await eve.get(f"/api/direct/{other.id}/history"))["messages"] == []
    status, _ = await eve.ask("GET", f"/api/rooms/{ann.id}:{bob.id}/history")
    assert status == 400


async def test_direct_messages_to_an_offline_user_are_listed_as_unread(
    ann: User, bob: User
) -> None:
    async with bob.connect("lobby"):
        pass  # A user who never connected is unreachable.
    async with ann.connect() as ann_tab:
        for number in range(3):
            await ann_tab.send("direct", {"to": bob.id, "content": f"{number}", "id": f"{number}"})

    waiting = (await bob.get("/api/rooms"))["direct"]

    assert [(one["user_id"], one["head"], one["unread"]) for one in waiting] == [(ann.id, 3, 3)]


@pytest.mark.parametrize(
    ("to", "code"),
    [("self", "direct_to_self"), ("nobody-xyz", "unreachable"), ("a b", "invalid_user")],
)
async def test_a_direct_message_to_an_invalid_recipient_is_rejected(
    ann: User, to: str, code: str
) -> None:
    async with ann.connect() as ann_tab:
        whom = ann.id if to == "self" else to
        refused = await ann_tab.send_rejected("direct", {"to": whom, "content": "hm", "id": "1"})

    assert (refused["code"], refused["retry"]) == (code, False)


# --- typing and reading -------------------------------------------------------------------------


async def test_typing_is_published_once_in_three_seconds_and_not_stored(
    ann: User, bob: User, room: str
) -> None:
    async with ann.connect(room) as ann_tab, bob.connect(room) as bob_tab:
        for _ in range(5):
            await ann_tab.send("typing", {"room": room})
        await ann_tab.send_message(room, "done")
        await bob_tab.receive(type="message")

        typing = [frame for frame in bob_tab.received if frame.get("type") == "typing"]
        assert typing == [{"type": "typing", "room": room, "user_id": ann.id, "name": "ann"}]
        assert (await ann.get(f"/api/rooms/{room}/history"))["head"] == 1


async def test_a_read_marker_is_published_to_other_tabs_and_never_moves_back(
    ann: User, room: str
) -> None:
    async with ann.connect(room) as ann_tab, ann.connect(room) as second_tab:
        for text in ("one", "two", "three"):
            await ann_tab.send_message(room, text)
        for seq in (2, 1):
            await ann_tab.send("read", {"room": room, "seq": seq})

        assert await second_tab.receive(type="read") == {"type": "read", "room": room, "seq": 2}
        (summary,) = (await ann.get("/api/rooms"))["rooms"]
        assert (summary["head"], summary["read"], summary["unread"]) == (3, 2, 1)


async def test_a_read_marker_applies_on_another_device(ann: User, bob: User, room: str) -> None:
    async with ann.connect(room) as ann_tab:
        async with bob.connect(room) as bob_tab:
            await ann_tab.send_message(room, "one")
            await bob_tab.send("read", {"room": room, "seq": 1})
        await ann_tab.send_message(room, "two")
        await ann_tab.send_message(room, "three")

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
    async with ann.connect(room) as ann_tab:
        await ann_tab.send_message(room, "one")
        event = {name: room if value == "ROOM" else value for name, value in data.items()}

        refused = await ann_tab.send_rejected("read", event)

        assert refused["code"] == code
        assert (await ann.get("/api/rooms"))["rooms"][0]["read"] == 0


async def test_a_read_marker_is_stored_only_in_a_conversation_of_the_user(
    ann: User, bob: User
) -> None:
    async with ann.connect() as ann_tab:
        refused = await ann_tab.send_rejected("read", {"to": bob.id, "seq": 0})

    assert refused["code"] == "not_in_room"
    assert (await ann.get("/api/rooms"))["direct"] == []


async def test_the_conversation_list_is_paged(ann: User, room: str) -> None:
    names = [f"{room}-{number}" for number in range(7)]
    async with ann.connect(*names) as ann_tab:
        await ann_tab.send_message(names[6], "one")
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
    async with ann.connect(room, subprotocol=PLAIN) as ann_tab:
        await ann_tab.send_message(room, "plain")

        assert (await ann_tab.receive(type="message"))["content"] == "plain"


async def test_the_microsoft_client_library_sends_and_receives(ann: User, room: str) -> None:
    """azure-messaging-webpubsubclient with its documented methods."""
    received: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    received_all = threading.Event()
    loop = asyncio.get_running_loop()
    negotiated = await ann.negotiate()

    def listen(message: OnServerDataMessageArgs) -> None:
        loop.call_soon_threadsafe(received.put_nowait, message.data)

    def run_client() -> None:
        client = WebPubSubClient(negotiated["url"])
        client.subscribe(CallbackType.SERVER_MESSAGE, listen)
        client.subscribe(CallbackType.GROUP_MESSAGE, listen)
        with client:
            client.send_event("join", {"room": room}, WebPubSubDataType.JSON)
            message = {"room": room, "content": "hello", "id": "1"}
            client.send_event("message", message, WebPubSubDataType.JSON)
            received_all.wait(10)

    client_run = asyncio.ensure_future(asyncio.to_thread(run_client))
    async with asyncio.timeout(10):
        frames = [await received.get()]
        while frames[-1]["type"] != "message":
            frames.append(await received.get())
    received_all.set()
    await client_run

    assert [frame["type"] for frame in frames if frame["type"] != "system"] == ["joined", "message"]
    assert frames[-1]["content"] == "hello"
