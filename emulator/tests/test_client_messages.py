"""What a client may say over its WebSocket, and what it is told."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jwt
import pytest
from azure.messaging.webpubsubclient import WebPubSubClient
from azure.messaging.webpubsubclient.models import CallbackType, WebPubSubDataType
from running_emulator import (
    HUB,
    JSON,
    RELIABLE,
    TALKER,
    Desk,
    application,
    desk,
    handled_by,
)
from webpubsub_emulator.tokens import DEFAULT_KEY

SECOND_KEY = "second-key-second-key-second-key-second-key"


@pytest.fixture
async def d() -> AsyncIterator[Desk]:
    async with desk(secondary_key=SECOND_KEY) as d:
        yield d


# Coming in


async def test_a_client_is_greeted_with_its_user_and_its_connection(d: Desk) -> None:
    ann, nobody = await d.enter("ann"), await d.enter()

    assert ann.connected == {
        "type": "system",
        "event": "connected",
        "userId": "ann",
        "connectionId": ann.id,
    }
    assert nobody.connected["userId"] is None


async def test_both_forms_of_the_address_and_both_places_of_the_token_work(d: Desk) -> None:
    token = client_token(d)
    second = f"{d.server.endpoint}/client/?hub={HUB}&access_token={token}"
    header = {"Authorization": f"Bearer {token}"}

    assert (await d.open(second)).connected["userId"] == "ann"
    address = f"{d.server.endpoint}/client/hubs/{HUB}"
    async with d.http.ws_connect(address, protocols=(JSON,), headers=header) as websocket:
        assert (await websocket.receive_json())["userId"] == "ann"


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "http://elsewhere.example/client/hubs/chat"},
        {"aud": "{endpoint}/client/hubs/other"},
        {"aud": None},
        {"exp": 1000},
        {"exp": None},
        {"key": "x" * 40},
        {"nbf": 4_000_000_000},
    ],
)
async def test_a_token_that_is_not_for_this_door_is_refused_before_the_upgrade(
    d: Desk, changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    token = client_token(d, **changed)

    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await d.open(f"{d.server.endpoint}/client/hubs/{HUB}?access_token={token}")

    assert refusal.value.status == 401
    assert "refused with 401" in caplog.text
    assert token not in caplog.text


async def test_tokens_of_the_second_key_and_uppercase_hubs_are_good(d: Desk) -> None:
    token = client_token(d, key=SECOND_KEY, aud="{endpoint}/CLIENT/hubs/Chat")

    ann = await d.open(f"{d.server.endpoint}/client/hubs/CHAT?access_token={token}")

    assert ann.connected["userId"] == "ann"


async def test_roles_and_groups_may_be_a_string_or_a_list(d: Desk) -> None:
    for role, group in (("webpubsub.sendToGroup", "g"), (["webpubsub.sendToGroup"], ["g"])):
        token = client_token(d, role=role, **{"webpubsub.group": group})
        ann = await d.open(f"{d.server.endpoint}/client/hubs/{HUB}?access_token={token}")
        await ann.says(type="sendToGroup", group="g", data=1)
        assert (await ann.hears())["data"] == 1
        await ann.leaves()


@pytest.mark.parametrize(
    "path",
    [
        "client/hubs/9bad?x=1",
        "client/?hub=",
        "client/hubs/chat?webpubsub_mode=fly",
        "client/hubs/chat?webpubsub_mode=sendToGroup",
        "client/hubs/chat?webpubsub_mode=sendToGroup&group=g&noEcho=perhaps",
    ],
)
async def test_an_impossible_address_is_a_bad_request(d: Desk, path: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await d.open(f"{d.server.endpoint}/{path}&access_token={client_token(d)}", None)

    assert refusal.value.status == 400


async def test_an_impossible_group_in_the_token_is_a_bad_request(d: Desk) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await d.enter("ann", groups=[" "])

    assert refusal.value.status == 400


async def test_a_plain_http_request_at_the_clients_door_is_a_bad_request(d: Desk) -> None:
    async with d.http.get(d.url("ann").replace("ws", "http", 1)) as answer:
        assert answer.status == 400


async def test_the_first_known_subprotocol_is_spoken_as_the_client_spelled_it(d: Desk) -> None:
    offered = ("unknown", "JSON.webpubsub.azure.V1", RELIABLE)
    async with d.http.ws_connect(d.url("ann"), protocols=offered) as websocket:
        assert websocket.protocol == "JSON.webpubsub.azure.V1"
        assert (await websocket.receive_json())["event"] == "connected"


async def test_an_unknown_subprotocol_makes_a_raw_client(d: Desk) -> None:
    ann = await d.enter("ann", protocol="my.own")

    await d.ask(d.service().send_to_all, "hi", content_type="text/plain")

    assert ann.websocket.protocol is None
    assert await ann.hears() == "hi"


# Groups


async def test_a_message_reaches_everyone_in_the_group_and_then_the_sender_its_ack(
    d: Desk,
) -> None:
    ann, bob = await d.enter("ann", roles=TALKER), await d.enter("bob", roles=TALKER)
    for person in (ann, bob):
        await person.says(type="joinGroup", group="lobby", ackId=0)
        assert await person.hears() == {"type": "ack", "ackId": 0, "success": True}

    await ann.says(type="sendToGroup", group="lobby", dataType="text", data="hé", ackId=2**64 - 1)

    expected = {
        "type": "message",
        "from": "group",
        "group": "lobby",
        "fromUserId": "ann",
        "dataType": "text",
        "data": "hé",
    }
    assert await bob.hears() == expected
    assert await ann.hears() == expected
    assert await ann.hears() == {"type": "ack", "ackId": 2**64 - 1, "success": True}


async def test_who_wants_no_echo_hears_none(d: Desk) -> None:
    ann, bob = [await d.enter(name, roles=TALKER, groups=["g"]) for name in ("ann", "bob")]

    await ann.says(type="sendToGroup", group="g", data=1, noEcho=True)

    assert (await bob.hears())["data"] == 1
    await ann.hears_nothing()


async def test_who_left_hears_nothing(d: Desk) -> None:
    ann, bob = [await d.enter(name, roles=TALKER, groups=["g"]) for name in ("ann", "bob")]

    await bob.says(type="leaveGroup", group="g", ackId=1)
    assert (await bob.hears())["success"]
    await ann.says(type="sendToGroup", group="g", data=1, ackId=1)
    await ann.hears()

    await bob.hears_nothing()


@pytest.mark.parametrize("type_", ["joinGroup", "leaveGroup", "sendToGroup"])
async def test_what_is_not_allowed_is_forbidden(d: Desk, type_: str) -> None:
    ann = await d.enter("ann")

    await ann.says(type=type_, group="g", data=1, ackId=1)

    ack = await ann.hears()
    assert (ack["success"], ack["error"]["name"]) == (False, "Forbidden")
    assert "group 'g'" in ack["error"]["message"]


async def test_a_role_with_a_wildcard_opens_the_groups_that_fit(d: Desk) -> None:
    ann = await d.enter("ann", roles=["webpubsub.joinLeaveGroups.room.*"])

    answers = []
    for ack_id, group in enumerate(("room.a", "room.a.b", "hall")):
        await ann.says(type="joinGroup", group=group, ackId=ack_id)
        answers.append((await ann.hears())["success"])

    assert answers == [True, False, False]


@pytest.mark.parametrize(
    ("data_type", "data", "raw"),
    [
        ("text", "hé", "hé"),
        ("json", {"n": [1, "é"]}, '{"n": [1, "é"]}'),
        ("json", "text", '"text"'),
        ("binary", "AP8=", b"\x00\xff"),
        ("protobuf", "CgA=", b"\n\x00"),
    ],
)
async def test_every_kind_of_data_reaches_every_kind_of_client(
    d: Desk, data_type: str, data: Any, raw: str | bytes
) -> None:
    ann = await d.enter("ann", roles=TALKER, groups=["g"])
    reliable = await d.enter("bob", protocol=RELIABLE, groups=["g"])
    simple = await d.enter("eve", protocol=None, groups=["g"])

    await ann.says(type="sendToGroup", group="g", dataType=data_type, data=data)

    heard = await ann.hears()
    assert (heard["dataType"], heard["data"]) == (data_type, data)
    assert await reliable.hears() == heard | {"sequenceId": 1}
    assert await simple.hears() == raw


async def test_metadata_arrives_as_it_was_sent(d: Desk) -> None:
    ann = await d.enter("ann", roles=TALKER, groups=["g"])

    await ann.says(type="sendToGroup", group="g", metadata={"Trace": "7"})

    heard = await ann.hears()
    assert (heard["metadata"], heard["dataType"], heard["data"]) == ({"Trace": "7"}, "text", "")


async def test_a_repeated_request_is_done_once(d: Desk) -> None:
    ann = await d.enter("ann", roles=TALKER, groups=["g"])

    for _ in range(2):
        await ann.says(type="sendToGroup", group="g", data=1, ackId=5)

    heard = [await ann.hears() for _ in range(3)]
    assert [message["type"] for message in heard] == ["message", "ack", "ack"]
    assert heard[2]["error"]["name"] == "Duplicate"


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "[]",
        '"ping"',
        "{}",
        '{"type": "fly"}',
        '{"type": 5}',
        '{"type": "joinGroup"}',
        '{"type": "joinGroup", "group": ""}',
        '{"type": "joinGroup", "group": " "}',
        '{"type": "joinGroup", "group": "g", "ackId": -1}',
        '{"type": "joinGroup", "group": "g", "ackId": 18446744073709551616}',
        '{"type": "joinGroup", "group": "g", "ackId": "1"}',
        '{"type": "sendToGroup", "group": "g"}',
        '{"type": "sendToGroup", "group": "g", "data": null}',
        '{"type": "sendToGroup", "group": "g", "dataType": "text", "data": 5}',
        '{"type": "sendToGroup", "group": "g", "dataType": "binary", "data": "!"}',
        '{"type": "sendToGroup", "group": "g", "dataType": "film", "data": "x"}',
        '{"type": "sendToGroup", "group": "g", "data": 1, "ttlSeconds": 301}',
        '{"type": "sendToGroup", "group": "g", "data": 1, "metadata": {"a": 1}}',
        '{"type": "sendToGroup", "group": "g", "data": 1, "metadata": {"a": "1", "a": "2"}}',
        '{"type": "sendToGroup", "group": "g", "data": 1, "metadata": [["a", "b"]]}',
        '{"type": "event", "event": "9", "data": 1}',
        '{"type": "event", "event": "x y", "data": 1}',
        '{"type": "sequenceAck"}',
        "[" * 100_000,
        '{"type": "event", "event": "x", "data": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection(d: Desk, message: str) -> None:
    ann = await d.enter("ann", roles=TALKER)

    await ann.websocket.send_str(message)

    text = "The client message is not a valid JSON protocol message."
    assert (await ann.hears())["message"] == text
    assert await ann.is_closed() == (1007, text)


async def test_the_log_names_what_was_wrong_with_a_message(
    d: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    ann = await d.enter("ann")

    await ann.says(type="sendToGroup", data="a secret word")
    await ann.is_closed()

    assert "1007" in caplog.text
    assert "missing required field `group`" in caplog.text
    assert "secret" not in caplog.text


async def test_a_binary_frame_has_no_place_in_a_json_conversation(d: Desk) -> None:
    ann = await d.enter("ann")

    await ann.websocket.send_bytes(b'{"type": "ping"}')

    assert await ann.is_closed() == (1003, "The JSON subprotocol requires text messages.")


async def test_a_message_over_the_limit_ends_the_connection(d: Desk) -> None:
    ann = await d.enter("ann", roles=TALKER)

    await ann.websocket.send_str(" " * (1024 * 1024 + 1))

    assert (await ann.is_closed())[0] == 1009


async def test_a_large_message_goes_through(d: Desk) -> None:
    ann = await d.enter("ann", roles=TALKER, groups=["g"])
    text = "x" * 900_000

    await ann.says(type="sendToGroup", group="g", dataType="text", data=text)

    assert (await ann.hears())["data"] == text


# Raw clients


async def test_a_raw_client_talks_with_the_application() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        app.answers["message"] = lambda _: aiohttp.web.Response(body=b"\x00")
        ann = await d.enter("ann", protocol=None)
        await ann.websocket.send_str("hi")
        told = await app.hears("message")

        assert (await told.read(), told.headers["Content-Type"]) == (
            b"hi",
            "text/plain; charset=utf-8",
        )
        assert "ce-subprotocol" not in told.headers
        assert await ann.hears() == b"\x00"
        app.answers["message"] = lambda _: aiohttp.web.Response(text="hé")
        await ann.websocket.send_bytes(b"\x01")
        assert await ann.hears() == "hé"


async def test_a_raw_client_whose_event_fails_is_let_go(d: Desk) -> None:
    ann = await d.enter("ann", protocol=None)

    await ann.websocket.send_str("hi")

    assert await ann.is_closed() == (1011, "Internal server error")


async def test_a_raw_client_may_speak_to_a_group(d: Desk) -> None:
    mode = "&webpubsub_mode=sendToGroup&group=g&NOECHO=True"
    ann = await d.enter("ann", protocol=None, roles=TALKER, groups=["g"], query=mode)
    bob = await d.enter("bob", groups=["g"])
    eve = await d.enter("eve", protocol=None, query=mode)

    await ann.websocket.send_str("hi")
    await eve.websocket.send_str("hi")

    assert (await bob.hears())["data"] == "hi"
    assert (await eve.is_closed())[0] == 1008


# The official Python client


async def test_the_official_python_client_joins_speaks_and_hears() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        app.answers["say"] = lambda _: aiohttp.web.json_response({"heard": True})
        heard: asyncio.Queue[Any] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def note(message: Any) -> None:
            loop.call_soon_threadsafe(heard.put_nowait, message)

        def talk() -> None:
            # An answer that comes before this client begins to wait for it wakes nobody: it then
            # waits for the whole timeout before it looks. On one machine that happens often.
            client = WebPubSubClient(
                d.url("ann", roles=list(TALKER)), ack_timeout=0.3, start_timeout=0.3
            )
            client.subscribe(CallbackType.GROUP_MESSAGE, note)
            client.subscribe(CallbackType.SERVER_MESSAGE, note)
            with client:
                client.join_group("lobby")
                client.send_to_group("lobby", {"a": 1}, WebPubSubDataType.JSON)
                client.send_event("say", "hi", WebPubSubDataType.TEXT)
                client.leave_group("lobby")

        await d.ask(talk)

        assert (await asyncio.wait_for(heard.get(), 5)).data == {"a": 1}
        assert (await asyncio.wait_for(heard.get(), 5)).data == {"heard": True}
        assert await (await app.hears("say")).read() == b"hi"
        await app.hears("disconnected")


def client_token(d: Desk, *, key: str = DEFAULT_KEY, **changed: Any) -> str:
    claims = {
        "aud": "{endpoint}/client/hubs/chat",
        "exp": time.time() + 60,
        "sub": "ann",
    } | changed
    claims["aud"] = (claims["aud"] or "").format(endpoint=d.server.endpoint) or None
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(present, key, algorithm="HS256")
