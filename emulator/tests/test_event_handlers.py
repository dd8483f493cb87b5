"""What the application is told of its clients, and what its answers do."""

import asyncio
import hashlib
import hmac
import json

import aiohttp
import pytest
from aiohttp import web
from running_emulator import (
    DEADLINE,
    RELIABLE,
    Clock,
    application,
    desk,
    eventually,
    handled_by,
    listening,
)
from webpubsub_emulator.event_handlers import Patience
from webpubsub_emulator.tokens import DEFAULT_KEY

SECOND_KEY = "second-key-second-key-second-key-second-key"


async def test_the_application_is_told_who_comes_and_who_goes() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        ann = await d.enter("ann")
        connect = await app.hears("connect")
        connected = await app.hears("connected")
        await ann.leaves()
        disconnected = await app.hears("disconnected")

        assert connect.headers["ce-userId"] == "ann"
        assert connect.headers["ce-type"] == "azure.webpubsub.sys.connect"
        assert connect.headers["ce-source"] == f"/hubs/chat/client/{ann.id}"
        assert connect.headers["WebHook-Request-Origin"] == "localhost"
        assert [r.headers["ce-id"] for r in (connect, connected, disconnected)] == ["0", "1", "2"]
        assert await disconnected.json() == {"reason": ""}


async def test_every_event_is_signed_with_both_keys() -> None:
    async with (
        application() as app,
        desk(settings=handled_by(app.url), secondary_key=SECOND_KEY) as d,
    ):
        ann = await d.enter("ann")
        connect = await app.hears("connect")

        expected = [
            "sha256=" + hmac.new(key.encode(), ann.id.encode(), hashlib.sha256).hexdigest()
            for key in (DEFAULT_KEY, SECOND_KEY)
        ]
        assert connect.headers["ce-signature"].split(",") == expected


async def test_the_connect_event_shows_claims_query_headers_and_subprotocols() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        await d.enter("ann", query="&colour=red&colour=blue", roles=["webpubsub.sendToGroup"])
        body = await (await app.hears("connect")).json()

        assert body["claims"]["sub"] == ["ann"]
        assert body["claims"]["role"] == ["webpubsub.sendToGroup"]
        assert body["query"] == {"colour": ["red", "blue"]}
        assert "access_token" not in json.dumps(body["query"])
        assert body["subprotocols"] == ["json.webpubsub.azure.v1"]
        assert body["clientCertificates"] == []


async def test_the_application_decides_who_the_client_is() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        app.answers["connect"] = lambda _: web.json_response(
            {"userId": "ann-7", "groups": ["lobby"], "roles": ["webpubsub.sendToGroup.lobby"]}
        )
        ann = await d.enter("ann", groups=["other"], roles=["webpubsub.joinLeaveGroup"])
        await ann.says(type="sendToGroup", group="lobby", data="hi", ackId=1)
        message = await ann.hears()
        ack = await ann.hears()
        await ann.says(type="joinGroup", group="other", ackId=2)
        refused = await ann.hears()

        assert ann.connected["userId"] == "ann-7"
        assert message["fromUserId"] == "ann-7"
        assert ack["success"]
        assert refused["error"]["name"] == "Forbidden"


@pytest.mark.parametrize(("status", "seen"), [(401, 401), (403, 403), (429, 429), (500, 500)])
async def test_a_refused_client_gets_the_status_of_the_application(status: int, seen: int) -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        app.answers["connect"] = lambda _: web.Response(status=status)

        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await d.enter("ann")

        assert refusal.value.status == seen


@pytest.mark.parametrize("body", ['{"groups": [""]}', "{", '{"roles": [null]}', '{"userId": 5}'])
async def test_a_malformed_welcome_keeps_the_client_out(body: str) -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        app.answers["connect"] = lambda _: web.Response(text=body)

        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await d.enter("ann")

        assert refusal.value.status == 500


async def test_a_reply_to_an_event_comes_before_its_ack() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        app.answers["say"] = lambda _: web.json_response({"heard": True})
        ann = await d.enter("ann")
        await ann.says(type="event", event="say", ackId=7, dataType="json", data={"text": "hé"})

        assert await ann.hears() == {
            "type": "message",
            "from": "server",
            "dataType": "json",
            "data": {"heard": True},
        }
        assert await ann.hears() == {"type": "ack", "ackId": 7, "success": True}
        told = await app.hears("say")
        assert told.headers["ce-type"] == "azure.webpubsub.user.say"
        assert told.headers["ce-subprotocol"] == "json.webpubsub.azure.v1"
        assert await told.read() == '{"text": "hé"}'.encode()


async def test_the_state_of_a_connection_goes_round() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        app.answers["connect"] = lambda _: web.Response(headers={"ce-connectionState": "one"})
        app.answers["say"] = lambda _: web.Response(
            headers={"ce-connectionState": "two", "Set-Cookie": "arr=7; Path=/"}
        )
        ann = await d.enter("ann")
        connected = await app.hears("connected")
        await ann.says(type="event", event="say", data=1)
        said = await app.hears("say")
        await ann.says(type="event", event="say", data=2)
        again = await app.hears("say")

        assert connected.headers["ce-connectionState"] == "one"
        assert said.headers["ce-connectionState"] == "one"
        assert again.headers["ce-connectionState"] == "two"
        assert again.headers["Cookie"] == "arr=7"


async def test_a_failed_event_is_a_failed_ack_and_may_be_tried_again() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        app.answers["say"] = lambda _: web.Response(status=400)
        ann = await d.enter("ann")
        await ann.says(type="event", event="say", ackId=1, data=1)
        failed = await ann.hears()
        app.answers["say"] = lambda _: web.Response()
        await ann.says(type="event", event="say", ackId=1, data=1)
        done = await ann.hears()
        await ann.says(type="event", event="say", ackId=1, data=1)
        repeated = await ann.hears()

        assert failed["error"]["name"] == "InternalServerError"
        assert done["success"]
        assert repeated["error"] == {
            "name": "Duplicate",
            "message": "Message with ack-id: 1 has been processed",
        }


async def test_in_strict_mode_a_failed_event_costs_the_connection() -> None:
    async with desk(strict=True) as d:
        ann = await d.enter("ann")
        await ann.says(type="event", event="say", ackId=1, data=1)

        assert (await ann.is_closed())[0] == 1011


async def test_a_failing_application_is_asked_again_with_the_same_ids() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        statuses = iter((500, 503, 408, 200))
        app.answers["say"] = lambda _: web.Response(status=next(statuses))
        ann = await d.enter("ann")
        await ann.says(type="event", event="say", ackId=1, data="x")

        assert (await ann.hears())["success"]
        tries = [await app.hears("say") for _ in range(4)]
        assert len({told.headers["ce-id"] for told in tries}) == 1
        assert len({told.headers["x-ms-client-request-id"] for told in tries}) == 1


async def test_an_address_that_does_not_consent_hears_nothing() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        app.allowed_origin = "elsewhere.example"

        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await d.enter("ann")

        assert refusal.value.status == 500
        assert app.told.empty()


async def test_consent_is_asked_once_for_many() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        await asyncio.gather(*(d.enter(f"ann{n}") for n in range(10)))

        assert app.validations == 1


async def test_the_first_handler_that_matches_is_the_only_one_told() -> None:
    async with application() as app:
        first, second = f"{app.url}/{{hub}}/{{event}}?code=1", f"{app.url}/second"
        async with desk(settings=handled_by(first, second)) as d:
            await d.enter("ann")
            connect = await app.hears("connect")
            connected = await app.hears("connected")

            assert connect.path_qs == "/events/chat/connect?code=1"
            assert connected.path_qs == "/events/chat/connected?code=1"
            assert app.told.empty()


async def test_a_reliable_client_that_is_cut_off_is_gone_only_when_it_stays_away() -> None:
    clock = Clock()
    async with application() as app, desk(settings=handled_by(app.url), clock=clock) as d:
        ann = await d.enter("ann", protocol=RELIABLE)
        await app.hears("connected")
        await d.cut(user_id="ann")
        back = await d.come_back(ann)
        await back.hears_nothing()
        assert app.told.empty()
        await d.cut(user_id="ann")
        clock.now += 31

        gone = await app.hears("disconnected")

        assert gone.headers["ce-id"] == "2"
        assert await gone.json() == {"reason": "The connection recovery timeout expired."}


async def test_consent_is_asked_again_after_a_minute() -> None:
    clock = Clock()
    async with application() as app, desk(settings=handled_by(app.url), clock=clock) as d:
        await d.enter("ann")
        clock.now += 61
        app.allowed_origin = "elsewhere.example"
        await d.enter("bob")

        async def is_withdrawn() -> bool:
            try:
                await d.enter("eve")
            except aiohttp.WSServerHandshakeError:
                return True
            return False

        await eventually(is_withdrawn)
        assert app.validations == 2
        clock.now += 2
        app.allowed_origin = "LOCALHOST"
        await d.enter("kim")


async def test_an_edited_settings_file_is_taken_over_and_an_invalid_one_is_not(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "settings.json"
    file.write_text('{"WebPubSub": {"Hubs": {}}}')
    async with application() as app, desk(settings=file) as d:
        ann = await d.enter("ann")

        async def is_told() -> bool:
            await ann.says(type="event", event="say", ackId=1, data=1)
            return bool((await ann.hears())["success"])

        assert not await is_told()
        handler = {"UrlTemplate": app.url, "EventPattern": "say, shout"}
        hubs = {"Chat": {"EventHandlers": [handler]}}
        file.write_text(json.dumps({"WebPubSub": {"Hubs": hubs}}))
        await eventually(is_told)
        file.write_text("{")
        await asyncio.sleep(0)

        await ann.says(type="event", event="shout", ackId=2, data=1)
        assert (await ann.hears())["success"]


async def test_metadata_goes_to_the_application_and_comes_back() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        app.answers["say"] = lambda _: web.Response(headers={"X-WebPubSub-Metadata-Mood": "good"})
        ann = await d.enter("ann")
        await ann.says(type="event", event="say", metadata={"Trace": "7"})
        told = await app.hears("say")

        assert told.headers["x-webpubsub-metadata-Trace"] == "7"
        reply = await ann.hears()
        assert (reply["metadata"], reply["data"]) == ({"mood": "good"}, "")


async def test_who_hangs_up_takes_the_waiting_request_along() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        begun, given_up = asyncio.Event(), asyncio.Event()

        async def wait(request: web.Request) -> web.Response:
            if request.headers.get("ce-eventName") != "say":
                return web.Response(headers={"WebHook-Allowed-Origin": "*"})
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                given_up.set()
            return web.Response()

        slow = web.Application()
        slow.router.add_route("*", "/", wait)
        async with listening(slow, handler_cancellation=True) as url:
            d.server.configure(handled_by(url, system=()))
            ann = await d.enter("ann")
            await ann.says(type="event", event="say", data=1, ackId=1)
            await asyncio.wait_for(begun.wait(), DEADLINE)
            d.server.cut()

            await asyncio.wait_for(given_up.wait(), DEADLINE)


async def test_an_event_handler_that_never_answers_fails_by_the_deadline() -> None:
    async with desk(patience=Patience(total=0.2)) as d:

        async def wait(request: web.Request) -> web.Response:
            if request.method == "POST":
                await asyncio.sleep(60)
            return web.Response(headers={"WebHook-Allowed-Origin": "*"})

        slow = web.Application()
        slow.router.add_route("*", "/", wait)
        async with listening(slow, handler_cancellation=True) as url:
            d.server.configure(handled_by(url, system=()))
            ann = await d.enter("ann")
            await ann.says(type="event", event="say", data=1, ackId=1)

            assert (await ann.hears())["error"]["name"] == "InternalServerError"


async def test_a_user_id_beyond_ascii_arrives_whole() -> None:
    async with application() as app, desk(settings=handled_by(app.url)) as d:
        await d.enter("Ünal 日本")

        told = await app.hears("connect")

        assert told.headers["ce-userId"] == "Ünal 日本"


async def test_no_key_of_an_event_handler_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with application() as app:
        settings = handled_by(f"{app.url}?code=secret-function-key")
        async with desk(settings=settings) as d:
            ann = await d.enter("ann")
            app.answers["say"] = lambda _: web.Response(status=400)
            await ann.says(type="event", event="say", data="a secret word", ackId=1)
            await ann.hears()

            assert "answered 400" in caplog.text
            assert "secret" not in caplog.text


async def test_a_user_event_may_bear_the_name_of_a_system_event() -> None:
    async with application() as app, desk(settings=handled_by(app.url, system=())) as d:
        ann = await d.enter("ann")
        await ann.says(type="event", event="connect", data=1, ackId=1)
        told = await app.hears("connect")

        assert (await ann.hears())["success"]
        assert told.headers["ce-type"] == "azure.webpubsub.user.connect"
        assert told.headers["ce-subprotocol"] == "json.webpubsub.azure.v1"
