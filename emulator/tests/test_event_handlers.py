"""Events sent to event handlers, and the effects of their responses."""

import asyncio
import hashlib
import hmac
import json

import aiohttp
import pytest
from aiohttp import web
from running_emulator import (
    RELIABLE,
    TIMEOUT_SECONDS,
    handler_settings,
    run_emulator,
    run_event_handler,
    serve_app,
    wait_until,
)
from webpubsub_emulator import ManualClock
from webpubsub_emulator.access_keys import DEFAULT_ACCESS_KEY
from webpubsub_emulator.upstream import UpstreamTimeouts

SECOND_KEY = "second-key-second-key-second-key-second-key"


async def test_event_handler_receives_the_connection_lifecycle() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        ann = await emulator.connect("ann")
        connect = await app.receive("connect")
        connected = await app.receive("connected")
        await ann.close()
        disconnected = await app.receive("disconnected")

        assert connect.headers["ce-userId"] == "ann"
        assert connect.headers["ce-type"] == "azure.webpubsub.sys.connect"
        assert connect.headers["ce-source"] == f"/hubs/chat/client/{ann.id}"
        assert connect.headers["WebHook-Request-Origin"] == "localhost"
        assert [r.headers["ce-id"] for r in (connect, connected, disconnected)] == ["0", "1", "2"]
        assert await disconnected.json() == {"reason": ""}


async def test_every_event_is_signed_with_both_keys() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url), secondary_key=SECOND_KEY) as emulator,
    ):
        ann = await emulator.connect("ann")
        connect = await app.receive("connect")

        expected = [
            "sha256=" + hmac.new(key.encode(), ann.id.encode(), hashlib.sha256).hexdigest()
            for key in (DEFAULT_ACCESS_KEY, SECOND_KEY)
        ]
        assert connect.headers["ce-signature"].split(",") == expected


async def test_connect_event_has_claims_query_headers_and_subprotocols() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        await emulator.connect(
            "ann", query="&colour=red&colour=blue", roles=["webpubsub.sendToGroup"]
        )
        body = await (await app.receive("connect")).json()

        assert body["claims"]["sub"] == ["ann"]
        assert body["claims"]["role"] == ["webpubsub.sendToGroup"]
        assert body["query"] == {"colour": ["red", "blue"]}
        assert "access_token" not in json.dumps(body["query"])
        assert body["subprotocols"] == ["json.webpubsub.azure.v1"]
        assert body["clientCertificates"] == []


async def test_connect_response_sets_user_roles_and_groups() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        app.responses["connect"] = lambda _: web.json_response(
            {"userId": "ann-7", "groups": ["lobby"], "roles": ["webpubsub.sendToGroup.lobby"]}
        )
        ann = await emulator.connect("ann", groups=["other"], roles=["webpubsub.joinLeaveGroup"])
        await ann.send(type="sendToGroup", group="lobby", data="hi", ackId=1)
        message = await ann.receive()
        ack = await ann.receive()
        await ann.send(type="joinGroup", group="other", ackId=2)
        rejected = await ann.receive()

        assert ann.connected["userId"] == "ann-7"
        assert message["fromUserId"] == "ann-7"
        assert ack["success"]
        assert rejected["error"]["name"] == "Forbidden"


@pytest.mark.parametrize(("status", "expected"), [(401, 401), (403, 403), (429, 429), (500, 500)])
async def test_rejected_client_gets_the_status_of_the_connect_response(
    status: int, expected: int
) -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        app.responses["connect"] = lambda _: web.Response(status=status)

        with pytest.raises(aiohttp.WSServerHandshakeError) as rejection:
            await emulator.connect("ann")

        assert rejection.value.status == expected


@pytest.mark.parametrize("body", ['{"groups": [""]}', "{", '{"roles": [null]}', '{"userId": 5}'])
async def test_malformed_connect_response_rejects_the_client(body: str) -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        app.responses["connect"] = lambda _: web.Response(text=body)

        with pytest.raises(aiohttp.WSServerHandshakeError) as rejection:
            await emulator.connect("ann")

        assert rejection.value.status == 500


async def test_event_reply_arrives_before_its_ack() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        app.responses["say"] = lambda _: web.json_response({"received": True})
        ann = await emulator.connect("ann")
        await ann.send(type="event", event="say", ackId=7, dataType="json", data={"text": "hé"})

        assert await ann.receive() == {
            "type": "message",
            "from": "server",
            "dataType": "json",
            "data": {"received": True},
        }
        assert await ann.receive() == {"type": "ack", "ackId": 7, "success": True}
        event = await app.receive("say")
        assert event.headers["ce-type"] == "azure.webpubsub.user.say"
        assert event.headers["ce-subprotocol"] == "json.webpubsub.azure.v1"
        assert await event.read() == '{"text": "hé"}'.encode()


async def test_connection_state_and_cookies_are_sent_with_later_events() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        app.responses["connect"] = lambda _: web.Response(headers={"ce-connectionState": "one"})
        app.responses["say"] = lambda _: web.Response(
            headers={"ce-connectionState": "two", "Set-Cookie": "arr=7; Path=/"}
        )
        ann = await emulator.connect("ann")
        connected = await app.receive("connected")
        await ann.send(type="event", event="say", data=1)
        send_event = await app.receive("say")
        await ann.send(type="event", event="say", data=2)
        again = await app.receive("say")

        assert connected.headers["ce-connectionState"] == "one"
        assert send_event.headers["ce-connectionState"] == "one"
        assert again.headers["ce-connectionState"] == "two"
        assert again.headers["Cookie"] == "arr=7"


async def test_failed_event_is_a_failed_ack_and_can_be_retried() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        app.responses["say"] = lambda _: web.Response(status=400)
        ann = await emulator.connect("ann")
        await ann.send(type="event", event="say", ackId=1, data=1)
        failed = await ann.receive()
        app.responses["say"] = lambda _: web.Response()
        await ann.send(type="event", event="say", ackId=1, data=1)
        done = await ann.receive()
        await ann.send(type="event", event="say", ackId=1, data=1)
        repeated = await ann.receive()

        assert failed["error"]["name"] == "InternalServerError"
        assert done["success"]
        assert repeated["error"] == {
            "name": "Duplicate",
            "message": "Message with ack-id: 1 has been processed",
        }


async def test_strict_mode_closes_the_connection_after_a_failed_event() -> None:
    async with run_emulator(strict=True) as emulator:
        ann = await emulator.connect("ann")
        await ann.send(type="event", event="say", ackId=1, data=1)

        assert (await ann.receive_close())[0] == 1011


async def test_failed_event_is_retried_with_the_same_ids() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        statuses = iter((500, 503, 408, 200))
        app.responses["say"] = lambda _: web.Response(status=next(statuses))
        ann = await emulator.connect("ann")
        await ann.send(type="event", event="say", ackId=1, data="x")

        assert (await ann.receive())["success"]
        attempts = [await app.receive("say") for _ in range(4)]
        assert len({event.headers["ce-id"] for event in attempts}) == 1
        assert len({event.headers["x-ms-client-request-id"] for event in attempts}) == 1


async def test_url_that_fails_validation_receives_no_events() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        app.allowed_origin = "elsewhere.example"

        with pytest.raises(aiohttp.WSServerHandshakeError) as rejection:
            await emulator.connect("ann")

        assert rejection.value.status == 500
        assert app.requests.empty()


async def test_concurrent_events_share_one_validation() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        await asyncio.gather(*(emulator.connect(f"ann{n}") for n in range(10)))

        assert app.validations == 1


async def test_only_the_first_matching_handler_receives_an_event() -> None:
    async with run_event_handler() as app:
        first, second = f"{app.url}/{{hub}}/{{event}}?code=1", f"{app.url}/second"
        async with run_emulator(settings=handler_settings(first, second)) as emulator:
            await emulator.connect("ann")
            connect = await app.receive("connect")
            connected = await app.receive("connected")

            assert connect.path_qs == "/events/chat/connect?code=1"
            assert connected.path_qs == "/events/chat/connected?code=1"
            assert app.requests.empty()


async def test_dropped_reliable_client_is_disconnected_after_the_recovery_timeout() -> None:
    clock = ManualClock()
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url), clock=clock) as emulator,
    ):
        ann = await emulator.connect("ann", protocol=RELIABLE)
        await app.receive("connected")
        await emulator.drop_connections(user_id="ann")
        back = await emulator.reconnect(ann)
        await back.assert_no_message()
        assert app.requests.empty()
        await emulator.drop_connections(user_id="ann")
        clock.advance(31)

        gone = await app.receive("disconnected")

        assert gone.headers["ce-id"] == "2"
        assert await gone.json() == {"reason": "The connection recovery timeout expired."}


async def test_validation_is_repeated_after_a_minute() -> None:
    clock = ManualClock()
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url), clock=clock) as emulator,
    ):
        await emulator.connect("ann")
        clock.advance(61)
        app.allowed_origin = "elsewhere.example"
        await emulator.connect("bob")

        async def is_withdrawn() -> bool:
            try:
                await emulator.connect("eve")
            except aiohttp.WSServerHandshakeError:
                return True
            return False

        await wait_until(is_withdrawn)
        assert app.validations == 2
        clock.advance(2)
        app.allowed_origin = "LOCALHOST"
        await emulator.connect("kim")


async def test_settings_file_is_reloaded_unless_invalid(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "settings.json"
    file.write_text('{"WebPubSub": {"Hubs": {}}}')
    async with run_event_handler() as app, run_emulator(settings=file) as emulator:
        ann = await emulator.connect("ann")

        async def is_handled() -> bool:
            await ann.send(type="event", event="say", ackId=1, data=1)
            return bool((await ann.receive())["success"])

        assert not await is_handled()
        handler = {"UrlTemplate": app.url, "EventPattern": "say, shout"}
        hubs = {"Chat": {"EventHandlers": [handler]}}
        file.write_text(json.dumps({"WebPubSub": {"Hubs": hubs}}))
        await wait_until(is_handled)
        file.write_text("{")
        await asyncio.sleep(0)

        await ann.send(type="event", event="shout", ackId=2, data=1)
        assert (await ann.receive())["success"]


async def test_metadata_is_sent_to_the_event_handler_and_returned() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        app.responses["say"] = lambda _: web.Response(headers={"X-WebPubSub-Metadata-Mood": "good"})
        ann = await emulator.connect("ann")
        await ann.send(type="event", event="say", metadata={"Trace": "7"})
        event = await app.receive("say")

        assert event.headers["x-webpubsub-metadata-Trace"] == "7"
        reply = await ann.receive()
        assert (reply["metadata"], reply["data"]) == ({"mood": "good"}, "")


async def test_disconnect_cancels_the_pending_event_request() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        started, cancelled = asyncio.Event(), asyncio.Event()

        async def wait(request: web.Request) -> web.Response:
            if request.headers.get("ce-eventName") != "say":
                return web.Response(headers={"WebHook-Allowed-Origin": "*"})
            started.set()
            try:
                await asyncio.sleep(60)
            finally:
                cancelled.set()
            return web.Response()

        slow = web.Application()
        slow.router.add_route("*", "/", wait)
        async with serve_app(slow, handler_cancellation=True) as url:
            emulator.server.configure(handler_settings(url, system=()))
            ann = await emulator.connect("ann")
            await ann.send(type="event", event="say", data=1, ackId=1)
            await asyncio.wait_for(started.wait(), TIMEOUT_SECONDS)
            emulator.server.drop_connections()

            await asyncio.wait_for(cancelled.wait(), TIMEOUT_SECONDS)


async def test_unresponsive_event_handler_fails_at_the_timeout() -> None:
    async with run_emulator(timeouts=UpstreamTimeouts(total=0.2)) as emulator:

        async def wait(request: web.Request) -> web.Response:
            if request.method == "POST":
                await asyncio.sleep(60)
            return web.Response(headers={"WebHook-Allowed-Origin": "*"})

        slow = web.Application()
        slow.router.add_route("*", "/", wait)
        async with serve_app(slow, handler_cancellation=True) as url:
            emulator.server.configure(handler_settings(url, system=()))
            ann = await emulator.connect("ann")
            await ann.send(type="event", event="say", data=1, ackId=1)

            assert (await ann.receive())["error"]["name"] == "InternalServerError"


async def test_non_ascii_user_id_is_sent_to_the_event_handler() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        await emulator.connect("Ünal 日本")

        event = await app.receive("connect")

        assert event.headers["ce-userId"] == "Ünal 日本"


async def test_no_key_of_an_event_handler_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with run_event_handler() as app:
        settings = handler_settings(f"{app.url}?code=secret-function-key")
        async with run_emulator(settings=settings) as emulator:
            ann = await emulator.connect("ann")
            app.responses["say"] = lambda _: web.Response(status=400)
            await ann.send(type="event", event="say", data="a secret word", ackId=1)
            await ann.receive()

            assert "returned 400" in caplog.text
            assert "secret" not in caplog.text


async def test_user_event_can_have_the_name_of_a_system_event() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url, system=())) as emulator,
    ):
        ann = await emulator.connect("ann")
        await ann.send(type="event", event="connect", data=1, ackId=1)
        event = await app.receive("connect")

        assert (await ann.receive())["success"]
        assert event.headers["ce-type"] == "azure.webpubsub.user.connect"
        assert event.headers["ce-subprotocol"] == "json.webpubsub.azure.v1"
