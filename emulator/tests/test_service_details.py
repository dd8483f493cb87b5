"""Documented details of the service: error texts, limits and defaults."""

import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web
from azure.core.exceptions import HttpResponseError
from rest_client import request
from running_emulator import (
    GROUP_ROLES,
    HUB,
    JSON,
    RELIABLE,
    RunningEmulator,
    handler_settings,
    run_emulator,
    run_event_handler,
    wait_until,
)
from webpubsub_emulator import Settings, read_settings

MESSAGE_LIMIT_BYTES = 1024 * 1024
MAX_INT32 = 2**31 - 1


@pytest.fixture
async def emulator() -> AsyncIterator[RunningEmulator]:
    async with run_emulator() as emulator:
        yield emulator


# Filters


@pytest.mark.parametrize(
    ("filter_", "message"),
    [
        # The first text is the response that Microsoft's own test suites expect.
        ("invalid filter", "Syntax error at position 14 in 'invalid filter'."),
        ("userId eq 'a' 'b'", "Syntax error at position 17 in 'userId eq 'a' 'b''."),
        ("userId eq", "Expression expected at position 9 in 'userId eq'."),
        ("(true", "')' or operator expected at position 5 in '(true'."),
        ("'open", "There is an unterminated string literal at position 5 in ''open'."),
        ("true and #", "Syntax error: character '#' is not valid at position 9 in 'true and #'."),
    ],
)
async def test_filter_syntax_error_has_the_text_of_the_service(
    emulator: RunningEmulator, filter_: str, message: str
) -> None:
    with pytest.raises(HttpResponseError) as raised:
        await emulator.call(emulator.service().send_to_all, "x", filter=filter_)

    error = raised.value.error
    assert raised.value.status_code == 400
    assert error.message == f"Invalid syntax for '{filter_}': {message} (Parameter 'filter')"
    assert error.target == "Request"


async def test_filter_type_error_names_the_smallest_wrong_part(emulator: RunningEmulator) -> None:
    with pytest.raises(HttpResponseError) as raised:
        await emulator.call(
            emulator.service().send_to_all, "x", filter="userId eq 'a' and (userId lt 1)"
        )

    expected = "Invalid syntax for 'userId lt 1': Type 'string', expect 'int'. (Parameter 'filter')"
    assert raised.value.error.message == expected


async def test_invalid_filter_is_reported_before_a_body_of_unknown_length(
    emulator: RunningEmulator,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    status, _, error = await request(
        emulator, "POST", ":send?filter=invalid%20filter", body=chunks()
    )

    assert status == 400
    assert "Syntax error at position 14" in error["message"]


# Sizes


@pytest.mark.parametrize("size", [MESSAGE_LIMIT_BYTES - 1, MESSAGE_LIMIT_BYTES])
async def test_raw_message_of_exactly_the_limit_is_delivered(
    emulator: RunningEmulator, size: int
) -> None:
    mode = "&webpubsub_mode=sendToGroup&group=g"
    ann = await emulator.connect("ann", protocol=None, roles=GROUP_ROLES, query=mode)
    bob = await emulator.connect("bob", protocol=None, groups=["g"])

    await ann.websocket.send_bytes(bytes(size))

    assert len(await bob.receive()) == size


async def test_raw_message_above_the_limit_closes_the_client(emulator: RunningEmulator) -> None:
    mode = "&webpubsub_mode=sendToGroup&group=g"
    ann = await emulator.connect("ann", protocol=None, roles=GROUP_ROLES, query=mode)

    await ann.websocket.send_bytes(bytes(MESSAGE_LIMIT_BYTES + 1))

    assert (await ann.receive_close())[0] == 1009


async def test_large_token_is_accepted_with_a_warning(
    emulator: RunningEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    small = emulator.url("ann", groups=["g"])
    large = emulator.url("ann", groups=[f"group-{number}" for number in range(400)])
    assert len(small) < 4096 < len(large)

    await emulator.open(small)
    assert "4096" not in caplog.text
    await emulator.open(large)

    assert "4096" in caplog.text
    assert large.partition("access_token=")[2] not in caplog.text


# Event handlers


async def test_metadata_header_without_a_name_is_ignored() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        app.responses["say"] = lambda _: web.Response(
            text="hi", headers={"X-WebPubSub-Metadata-": "x", "X-WebPubSub-Metadata-Mood": "good"}
        )
        ann = await emulator.connect("ann")
        await ann.send(type="event", event="say", data=1, ackId=1)

        reply = await ann.receive()
        assert (reply["data"], reply["metadata"]) == ("hi", {"mood": "good"})
        assert (await ann.receive())["success"]


async def test_internal_headers_are_not_sent_to_the_event_handler() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handler_settings(app.url)) as emulator,
    ):
        headers = {"X-ASRS-Internal-Forwarded-By": "proxy", "X-Custom": "value"}
        async with emulator.http.ws_connect(emulator.url("ann"), headers=headers):
            body = await (await app.receive("connect")).json()

        names = {name.lower() for name in body["headers"]}
        assert "x-custom" in names
        assert not any(name.startswith("x-asrs-internal-") for name in names)


@pytest.mark.parametrize("hub", [{"EventHandlers": None}, {"EventHandlers": []}, None])
async def test_reloaded_settings_without_event_handlers_remove_them(
    tmp_path: Path, hub: dict[str, Any] | None
) -> None:
    file = tmp_path / "appsettings.json"
    async with run_event_handler() as app:
        write_hub(file, {"EventHandlers": [{"UrlTemplate": app.url, "EventPattern": "*"}]})
        async with run_emulator(settings=file) as emulator:
            ann = await emulator.connect("ann")
            ack_ids = itertools.count(1)

            async def is_handled() -> bool:
                await ann.send(type="event", event="say", ackId=next(ack_ids), data=1)
                return (await ann.receive())["success"] is True

            async def is_not_handled() -> bool:
                return not await is_handled()

            assert await is_handled()
            write_hub(file, hub)
            await wait_until(is_not_handled)


def write_hub(file: Path, hub: dict[str, Any] | None) -> None:
    file.write_text(json.dumps({"WebPubSub": {"Hubs": {HUB: hub}}}))


# REST requests


@pytest.mark.parametrize("operation", [":addToGroups", ":removeFromGroups"])
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"groups": []}', "application/json", 400),
        (b'{"groups": null}', "application/json", 400),
        (b'{"groups": ["g"]}', None, 415),
        (b'{"groups": ["g"]}', "text/plain", 415),
        (b'{"groups": ["g"]}', "application/json; charset=utf-8", 200),
        (b'{"groups": ["g"]}', "application/merge-patch+json", 200),
    ],
)
async def test_bulk_group_request_needs_groups_and_a_json_content_type(
    emulator: RunningEmulator,
    operation: str,
    body: bytes,
    content_type: str | None,
    status: int,
) -> None:
    actual_status, _, _ = await request(
        emulator, "POST", operation, body=body, content_type=content_type
    )

    assert actual_status == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"groups/g/connections?top={MAX_INT32}", 200),
        ("GET", f"groups/g/connections?top={MAX_INT32 + 1}", 400),
        ("GET", "groups/g/connections?top=1&top=2", 400),
        ("GET", "groups/g/connections?maxpagesize=1&maxpagesize=1", 400),
        ("GET", "groups/g/connections?top=", 400),
        ("POST", f":generateToken?minutesToExpire={MAX_INT32}", 200),
        ("POST", f":generateToken?minutesToExpire={MAX_INT32 + 1}", 400),
        ("POST", ":generateToken?clientType=mqtt", 501),
        ("POST", ":generateToken?clientType=MQTT", 501),
        ("POST", ":generateToken?clientType=other", 400),
        ("HEAD", "users/%20", 400),
        ("POST", "users/%20%09/:closeConnections", 400),
        ("HEAD", "connections/%20", 400),
        ("DELETE", "connections/%20/groups", 400),
        ("PUT", "groups/g/connections/%20", 400),
        ("GET", "groups/g/connections/", 200),
        ("POST", ":closeConnections/", 204),
    ],
)
async def test_parameters_have_the_bounds_of_the_service(
    emulator: RunningEmulator, method: str, path: str, status: int
) -> None:
    actual_status, headers, _ = await request(emulator, method, path)

    assert actual_status == status
    assert ("x-ms-error-code" in headers) is (status >= 400)


async def test_next_link_has_the_newest_api_version(emulator: RunningEmulator) -> None:
    for name in ("ann", "bob"):
        await emulator.connect(name, groups=["g"])

    path = "groups/g/connections?maxpagesize=1&api-version=2021-10-01"
    _, _, page = await request(emulator, "GET", path)

    query = parse_qs(urlsplit(page["nextLink"]).query)
    assert query["api-version"] == ["2024-12-01"]
    assert query["maxpagesize"] == ["1"]


# Client messages that are not emulated


@pytest.mark.parametrize("protocol", [JSON, RELIABLE])
@pytest.mark.parametrize("type_", ["setGroupState", "subscribeGroupState", "unsubscribeGroupState"])
async def test_group_state_requests_fail_by_name_and_keep_the_connection(
    emulator: RunningEmulator, protocol: str, type_: str
) -> None:
    ann = await emulator.connect("ann", roles=GROUP_ROLES, protocol=protocol)

    await ann.send(type=type_, group="g", ackId=1)

    ack = await ann.receive()
    assert (ack["type"], ack["ackId"], ack["success"]) == ("ack", 1, False)
    assert ack["error"]["name"] == "NotSupported"
    assert type_ in ack["error"]["message"]
    await ann.assert_no_message()


async def test_invocation_fails_by_name_and_keeps_the_connection(
    emulator: RunningEmulator,
) -> None:
    ann = await emulator.connect("ann")

    await ann.send(type="invoke", invocationId="7", target="event", event="say", data=1)

    response = await ann.receive()
    assert (response["type"], response["invocationId"]) == ("invokeResponse", "7")
    assert (response["success"], response["error"]["name"]) == (False, "NotSupported")
    await ann.send(type="cancelInvocation", invocationId="7")
    await ann.assert_no_message()


@pytest.mark.parametrize(
    "message",
    [
        '{"type": "invoke"}',
        '{"type": "setGroupState", "ackId": 1}',
        '{"type": "subscribeGroupState", "group": ""}',
    ],
)
async def test_malformed_request_that_is_not_emulated_closes_the_connection(
    emulator: RunningEmulator, message: str
) -> None:
    ann = await emulator.connect("ann")

    await ann.websocket.send_str(message)

    assert (await ann.receive_close())[0] == 1007


# Anonymous clients


def hub_settings(**hub: object) -> Settings:
    return read_settings({"WebPubSub": {"Hubs": {HUB: hub}}})


async def test_hub_that_allows_anonymous_clients_needs_no_token() -> None:
    settings = hub_settings(AnonymousConnectPolicy="Allow")
    async with run_emulator(settings=settings) as emulator:
        url = f"{emulator.server.endpoint}/client/hubs/{HUB}"
        ann = await emulator.open(url)

        assert ann.connected["userId"] is None
        await ann.send(type="joinGroup", group="g", ackId=1)
        assert (await ann.receive())["error"]["name"] == "Forbidden"
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await emulator.open(f"{url}?access_token=invalid")
        assert raised.value.status == 401


@pytest.mark.parametrize("hub", [{}, {"AnonymousConnectPolicy": "deny"}])
async def test_hub_denies_anonymous_clients_by_default(hub: dict[str, str]) -> None:
    async with run_emulator(settings=hub_settings(**hub)) as emulator:
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await emulator.open(f"{emulator.server.endpoint}/client/hubs/{HUB}")

        assert raised.value.status == 401


async def test_event_handler_gives_an_anonymous_client_its_user_id() -> None:
    async with run_event_handler() as app:
        handler = {"UrlTemplate": app.url, "SystemEvents": ["connect"]}
        settings = hub_settings(AnonymousConnectPolicy="allow", EventHandlers=[handler])
        app.responses["connect"] = lambda _: web.json_response({"userId": "guest-1"})
        async with run_emulator(settings=settings) as emulator:
            ann = await emulator.open(f"{emulator.server.endpoint}/client/hubs/{HUB}")
            body = await (await app.receive("connect")).json()

            assert ann.connected["userId"] == "guest-1"
            assert body["claims"] == {}
