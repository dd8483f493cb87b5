"""Client messages and the responses of the service."""

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
    GROUP_ROLES,
    HUB,
    JSON,
    RELIABLE,
    RunningEmulator,
    handler_settings,
    run_emulator,
    run_event_handler,
)
from webpubsub_emulator.access_keys import DEFAULT_ACCESS_KEY

SECOND_KEY = "second-key-second-key-second-key-second-key"


@pytest.fixture
async def emulator() -> AsyncIterator[RunningEmulator]:
    async with run_emulator(secondary_key=SECOND_KEY) as emulator:
        yield emulator


# Handshake


async def test_connected_message_has_user_id_and_connection_id(emulator: RunningEmulator) -> None:
    ann, anonymous = await emulator.connect("ann"), await emulator.connect()

    assert ann.connected == {
        "type": "system",
        "event": "connected",
        "userId": "ann",
        "connectionId": ann.id,
    }
    assert anonymous.connected["userId"] is None


async def test_both_url_forms_and_both_token_locations_are_accepted(
    emulator: RunningEmulator,
) -> None:
    token = client_token(emulator)
    second = f"{emulator.server.endpoint}/client/?hub={HUB}&access_token={token}"
    header = {"Authorization": f"Bearer {token}"}

    assert (await emulator.open(second)).connected["userId"] == "ann"
    address = f"{emulator.server.endpoint}/client/hubs/{HUB}"
    async with emulator.http.ws_connect(address, protocols=(JSON,), headers=header) as websocket:
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
async def test_invalid_token_is_rejected_with_401_before_the_upgrade(
    emulator: RunningEmulator, changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    token = client_token(emulator, **changed)

    with pytest.raises(aiohttp.WSServerHandshakeError) as rejection:
        await emulator.open(f"{emulator.server.endpoint}/client/hubs/{HUB}?access_token={token}")

    assert rejection.value.status == 401
    assert "rejected with 401" in caplog.text
    assert token not in caplog.text


async def test_secondary_key_and_uppercase_hub_are_accepted(emulator: RunningEmulator) -> None:
    token = client_token(emulator, key=SECOND_KEY, aud="{endpoint}/CLIENT/hubs/Chat")

    ann = await emulator.open(f"{emulator.server.endpoint}/client/hubs/CHAT?access_token={token}")

    assert ann.connected["userId"] == "ann"


async def test_roles_and_groups_may_be_a_string_or_a_list(emulator: RunningEmulator) -> None:
    for role, group in (("webpubsub.sendToGroup", "g"), (["webpubsub.sendToGroup"], ["g"])):
        token = client_token(emulator, role=role, **{"webpubsub.group": group})
        ann = await emulator.open(
            f"{emulator.server.endpoint}/client/hubs/{HUB}?access_token={token}"
        )
        await ann.send(type="sendToGroup", group="g", data=1)
        assert (await ann.receive())["data"] == 1
        await ann.close()


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
async def test_invalid_client_url_is_a_bad_request(emulator: RunningEmulator, path: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as rejection:
        await emulator.open(
            f"{emulator.server.endpoint}/{path}&access_token={client_token(emulator)}", None
        )

    assert rejection.value.status == 400


async def test_invalid_group_in_the_token_is_a_bad_request(emulator: RunningEmulator) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as rejection:
        await emulator.connect("ann", groups=[" "])

    assert rejection.value.status == 400


async def test_request_without_upgrade_is_a_bad_request(emulator: RunningEmulator) -> None:
    async with emulator.http.get(emulator.url("ann").replace("ws", "http", 1)) as response:
        assert response.status == 400


async def test_first_supported_subprotocol_is_selected_in_the_clients_spelling(
    emulator: RunningEmulator,
) -> None:
    offered = ("unknown", "JSON.webpubsub.azure.V1", RELIABLE)
    async with emulator.http.ws_connect(emulator.url("ann"), protocols=offered) as websocket:
        assert websocket.protocol == "JSON.webpubsub.azure.V1"
        assert (await websocket.receive_json())["event"] == "connected"


async def test_an_unknown_subprotocol_makes_a_raw_client(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann", protocol="my.own")

    await emulator.call(emulator.service().send_to_all, "hi", content_type="text/plain")

    assert ann.websocket.protocol is None
    assert await ann.receive() == "hi"


# Groups


async def test_group_message_reaches_all_members_before_the_senders_ack(
    emulator: RunningEmulator,
) -> None:
    ann, bob = (
        await emulator.connect("ann", roles=GROUP_ROLES),
        await emulator.connect("bob", roles=GROUP_ROLES),
    )
    for client in (ann, bob):
        await client.send(type="joinGroup", group="lobby", ackId=0)
        assert await client.receive() == {"type": "ack", "ackId": 0, "success": True}

    await ann.send(type="sendToGroup", group="lobby", dataType="text", data="hé", ackId=2**64 - 1)

    expected = {
        "type": "message",
        "from": "group",
        "group": "lobby",
        "fromUserId": "ann",
        "dataType": "text",
        "data": "hé",
    }
    assert await bob.receive() == expected
    assert await ann.receive() == expected
    assert await ann.receive() == {"type": "ack", "ackId": 2**64 - 1, "success": True}


async def test_no_echo_excludes_the_sender(emulator: RunningEmulator) -> None:
    ann, bob = [
        await emulator.connect(name, roles=GROUP_ROLES, groups=["g"]) for name in ("ann", "bob")
    ]

    await ann.send(type="sendToGroup", group="g", data=1, noEcho=True)

    assert (await bob.receive())["data"] == 1
    await ann.assert_no_message()


async def test_left_group_sends_no_more_messages(emulator: RunningEmulator) -> None:
    ann, bob = [
        await emulator.connect(name, roles=GROUP_ROLES, groups=["g"]) for name in ("ann", "bob")
    ]

    await bob.send(type="leaveGroup", group="g", ackId=1)
    assert (await bob.receive())["success"]
    await ann.send(type="sendToGroup", group="g", data=1, ackId=1)
    await ann.receive()

    await bob.assert_no_message()


@pytest.mark.parametrize("type_", ["joinGroup", "leaveGroup", "sendToGroup"])
async def test_request_without_permission_is_forbidden(
    emulator: RunningEmulator, type_: str
) -> None:
    ann = await emulator.connect("ann")

    await ann.send(type=type_, group="g", data=1, ackId=1)

    ack = await ann.receive()
    assert (ack["success"], ack["error"]["name"]) == (False, "Forbidden")
    assert "group 'g'" in ack["error"]["message"]


async def test_wildcard_role_covers_matching_groups(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann", roles=["webpubsub.joinLeaveGroups.room.*"])

    responses = []
    for ack_id, group in enumerate(("room.a", "room.a.b", "hall")):
        await ann.send(type="joinGroup", group=group, ackId=ack_id)
        responses.append((await ann.receive())["success"])

    assert responses == [True, False, False]


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
async def test_every_data_type_reaches_every_kind_of_client(
    emulator: RunningEmulator, data_type: str, data: Any, raw: str | bytes
) -> None:
    ann = await emulator.connect("ann", roles=GROUP_ROLES, groups=["g"])
    reliable = await emulator.connect("bob", protocol=RELIABLE, groups=["g"])
    simple = await emulator.connect("eve", protocol=None, groups=["g"])

    await ann.send(type="sendToGroup", group="g", dataType=data_type, data=data)

    received = await ann.receive()
    assert (received["dataType"], received["data"]) == (data_type, data)
    assert await reliable.receive() == received | {"sequenceId": 1}
    assert await simple.receive() == raw


async def test_metadata_is_delivered_unchanged(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann", roles=GROUP_ROLES, groups=["g"])

    await ann.send(type="sendToGroup", group="g", metadata={"Trace": "7"})

    received = await ann.receive()
    assert (received["metadata"], received["dataType"], received["data"]) == (
        {"Trace": "7"},
        "text",
        "",
    )


async def test_repeated_ack_id_is_processed_once(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann", roles=GROUP_ROLES, groups=["g"])

    for _ in range(2):
        await ann.send(type="sendToGroup", group="g", data=1, ackId=5)

    received = [await ann.receive() for _ in range(3)]
    assert [message["type"] for message in received] == ["message", "ack", "ack"]
    assert received[2]["error"]["name"] == "Duplicate"


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
async def test_invalid_message_closes_the_connection(
    emulator: RunningEmulator, message: str
) -> None:
    ann = await emulator.connect("ann", roles=GROUP_ROLES)

    await ann.websocket.send_str(message)

    text = "The client message is not a valid JSON protocol message."
    assert (await ann.receive())["message"] == text
    assert await ann.receive_close() == (1007, text)


async def test_log_names_the_error_of_an_invalid_message(
    emulator: RunningEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    ann = await emulator.connect("ann")

    await ann.send(type="sendToGroup", data="a secret word")
    await ann.receive_close()

    assert "1007" in caplog.text
    assert "missing required field `group`" in caplog.text
    assert "secret" not in caplog.text


async def test_binary_frame_closes_a_json_client(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann")

    await ann.websocket.send_bytes(b'{"type": "ping"}')

    assert await ann.receive_close() == (1003, "The JSON subprotocol requires text messages.")


async def test_message_above_the_limit_closes_the_connection(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann", roles=GROUP_ROLES)

    await ann.websocket.send_str(" " * (1024 * 1024 + 1))

    assert (await ann.receive_close())[0] == 1009


async def test_large_message_is_delivered(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann", roles=GROUP_ROLES, groups=["g"])
    text = "x" * 900_000

    await ann.send(type="sendToGroup", group="g", dataType="text", data=text)

    assert (await ann.receive())["data"] == text


# Raw clients


async def test_raw_client_exchanges_messages_with_the_event_handler() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        app.responses["message"] = lambda _: aiohttp.web.Response(body=b"\x00")
        ann = await emulator.connect("ann", protocol=None)
        await ann.websocket.send_str("hi")
        event = await app.receive("message")

        assert (await event.read(), event.headers["Content-Type"]) == (
            b"hi",
            "text/plain; charset=utf-8",
        )
        assert "ce-subprotocol" not in event.headers
        assert await ann.receive() == b"\x00"
        app.responses["message"] = lambda _: aiohttp.web.Response(text="hé")
        await ann.websocket.send_bytes(b"\x01")
        assert await ann.receive() == "hé"


async def test_failed_event_closes_a_raw_client(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann", protocol=None)

    await ann.websocket.send_str("hi")

    assert await ann.receive_close() == (1011, "Internal server error")


async def test_raw_client_publishes_to_a_group(emulator: RunningEmulator) -> None:
    mode = "&webpubsub_mode=sendToGroup&group=g&NOECHO=True"
    ann = await emulator.connect("ann", protocol=None, roles=GROUP_ROLES, groups=["g"], query=mode)
    bob = await emulator.connect("bob", groups=["g"])
    eve = await emulator.connect("eve", protocol=None, query=mode)

    await ann.websocket.send_str("hi")
    await eve.websocket.send_str("hi")

    assert (await bob.receive())["data"] == "hi"
    assert (await eve.receive_close())[0] == 1008


# The official Python client


async def test_official_python_client_joins_sends_and_receives() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        app.responses["say"] = lambda _: aiohttp.web.json_response({"received": True})
        received: asyncio.Queue[Any] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def record(message: Any) -> None:
            loop.call_soon_threadsafe(received.put_nowait, message)

        def run_client() -> None:
            # An ack that arrives before the client waits is detected only at the end of its
            # timeout. That is frequent on one machine.
            client = WebPubSubClient(
                emulator.url("ann", roles=list(GROUP_ROLES)), ack_timeout=2.0, start_timeout=2.0
            )
            client.subscribe(CallbackType.GROUP_MESSAGE, record)
            client.subscribe(CallbackType.SERVER_MESSAGE, record)
            with client:
                client.join_group("lobby")
                client.send_to_group("lobby", {"a": 1}, WebPubSubDataType.JSON)
                client.send_event("say", "hi", WebPubSubDataType.TEXT)
                client.leave_group("lobby")

        await emulator.call(run_client)

        assert (await asyncio.wait_for(received.get(), 30)).data == {"a": 1}
        assert (await asyncio.wait_for(received.get(), 30)).data == {"received": True}
        assert await (await app.receive("say")).read() == b"hi"
        await app.receive("disconnected")


def client_token(
    emulator: RunningEmulator, *, key: str = DEFAULT_ACCESS_KEY, **changed: Any
) -> str:
    claims = {
        "aud": "{endpoint}/client/hubs/chat",
        "exp": time.time() + 60,
        "sub": "ann",
    } | changed
    claims["aud"] = (claims["aud"] or "").format(endpoint=emulator.server.endpoint) or None
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(present, key, algorithm="HS256")
