"""The webhook accepts events only from the own service, and handles each event once."""

import asyncio
import base64
import json
import time
import tracemalloc
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.cloudevents import CloudEvent, parse_event
from events.duplicates import MAX_CACHE_BYTES, OUTCOME_CACHE_SECONDS, DuplicateFilter
from events.webhook import WebhookResponse
from local.parts import ACCESS_KEY, Stack, free_ports, start_functions
from realtime.azure.web_pubsub import connect_hub
from realtime.http import MAX_BODY_BYTES
from realtime.rooms.presence import GRACE_SECONDS
from realtime.settings import Settings
from tests import logs
from tests.instances import Instance, instance
from tests.issuer import AUDIENCE, OwnIssuer
from tests.service import Service, event_headers, new_connection, signature
from tests.strict import QUIET
from tests.users import User

RESPONSE_TIMEOUT_SECONDS = 30.0
"""How long a response may take on a busy machine."""

OTHER_KEY = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGH"


@pytest.fixture
def service(stack: Stack, http: aiohttp.ClientSession) -> Service:
    return Service(http, stack.url)


@pytest.fixture
async def own(stack: Stack) -> AsyncIterator[Instance]:
    async with instance(stack) as made:
        yield made


@pytest.fixture
def room() -> str:
    return f"room-{uuid.uuid4().hex}"


def message(room: str, content: str = "hello") -> dict[str, str]:
    return {"room": room, "content": content, "id": uuid.uuid4().hex}


async def count_stored(own: Instance, room: str) -> int:
    """The number of messages in a room."""
    return (await own.logs.read_head(room)).seq


# --- validation handshake -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin", ["localhost", "LOCALHOST", "replica.example.com, localhost", "localhost,other"]
)
async def test_the_handshake_accepts_the_own_service(service: Service, origin: str) -> None:
    response = await service.call("OPTIONS", {"WebHook-Request-Origin": origin})

    assert response.status == 204
    assert response.headers["WebHook-Allowed-Origin"].lower() == "localhost"


@pytest.mark.parametrize("origin", ["elsewhere.com", "localhost.elsewhere.com", "*", ",", "", None])
async def test_the_handshake_rejects_other_services(service: Service, origin: str | None) -> None:
    headers = {} if origin is None else {"WebHook-Request-Origin": origin}

    response = await service.call("OPTIONS", headers)

    assert (response.status, response.code) == (400, "invalid_request")
    assert "WebHook-Allowed-Origin" not in response.headers


# --- signatures ---------------------------------------------------------------------------------


def wrong_by_one(connection: str) -> str:
    good = signature(connection)
    return good[:-1] + ("0" if good[-1] != "0" else "1")


FORGED = {
    "none": lambda _: None,
    "empty": lambda _: "",
    "wrong by one character": wrong_by_one,
    "of another connection": lambda _: signature(new_connection()),
    "by another key": lambda connection: signature(connection, OTHER_KEY),
    "by another algorithm": lambda connection: signature(connection).replace("sha256", "sha1"),
    "without its algorithm": lambda connection: signature(connection).removeprefix("sha256="),
    "truncated": lambda connection: signature(connection)[:-1],
    "after too many others": lambda one: "sha256=0," * 500 + signature(one),
    "not UTF-8": lambda _: "sha256=\udcff",
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
async def test_an_event_with_a_wrong_signature_is_rejected_and_not_stored(
    service: Service, own: Instance, room: str, forge: Any
) -> None:
    headers = event_headers("message", connection=new_connection(), rooms=[room])
    headers["ce-signature"] = forge(headers["ce-connectionId"])
    headers = {name: value for name, value in headers.items() if value is not None}

    response = await service.call("POST", headers, json.dumps(message(room)).encode())

    assert (response.status, response.code) == (401, "unauthenticated")
    assert await count_stored(own, room) == 0


def accepts(key: str, signatures: str, connection: str) -> bool:
    """Whether an app with this key accepts a signature header."""
    text = f"Endpoint=https://here;AccessKey={key};Version=1.0;"
    return connect_hub(Settings(webpubsub_connection_string=text)).verify_signature(
        signatures, connection
    )


async def test_a_signature_with_either_key_is_accepted() -> None:
    one = new_connection()
    both = signature(one, ACCESS_KEY, OTHER_KEY)

    assert accepts(ACCESS_KEY, both, one)
    assert accepts(OTHER_KEY, both, one)
    assert accepts(OTHER_KEY, both.replace(",", " , ").upper(), one)


async def test_the_old_key_is_accepted_until_it_is_replaced() -> None:
    one, newest = new_connection(), OTHER_KEY[::-1]

    assert accepts(ACCESS_KEY, signature(one, OTHER_KEY, ACCESS_KEY), one)
    assert not accepts(ACCESS_KEY, signature(one, OTHER_KEY, newest), one)


# --- tokens of the service ----------------------------------------------------------------------


@pytest.fixture
async def company() -> AsyncIterator[OwnIssuer]:
    async with OwnIssuer() as issuer:
        yield issuer


@pytest.fixture
async def keyless(stack: Stack, company: OwnIssuer) -> AsyncIterator[str]:
    """The URL of an app without an access key, as in Azure."""
    environment = (
        QUIET
        | stack.environment
        | {
            "WEBPUBSUB_CONNECTION_STRING": "",
            "WEBPUBSUB_ENDPOINT": "https://localhost",
            "WEBHOOK_ISSUER": company.url,
            "WEBHOOK_AUDIENCE": AUDIENCE,
            "WEBHOOK_SUBJECT": "the service",
            "CONNECTIONS_PER_USER": "0",  # No service is running that lists connections.
        }
    )
    (port,) = free_ports(1)
    part = start_functions(port, environment, listener=logs.lines.append)
    try:
        await asyncio.to_thread(part.wait)
        yield part.url
    finally:
        part.stop()


async def send_connect(service: Service, token: str | None) -> tuple[int, str | None]:
    """Send a connect event with this token and a signature. Returns status and error code."""
    headers = event_headers("connect", system=True)
    if token is not None:
        headers["Authorization"] = token
    response = await service.call("POST", headers, b"{}")
    return response.status, response.code


async def test_an_app_without_a_key_requires_the_service_token(
    keyless: str, company: OwnIssuer, http: aiohttp.ClientSession
) -> None:
    service = Service(http, keyless)
    invalid = [
        None,
        "",
        "Bearer ",
        "Bearer nonsense",
        f"Basic {company.token(sub='the service')}",
        f"Bearer {company.token(sub='the service', aud='api://another')}",
        f"Bearer {company.token(sub='the service', iss='https://elsewhere')}",
        f"Bearer {company.token(sub='the service', exp=1)}",
        f"Bearer {company.token(sub='another app of the tenant')}",
    ]

    accepted = await send_connect(service, f"Bearer {company.token(sub='the service')}")
    rejected = [await send_connect(service, token) for token in invalid]

    assert accepted == (200, None)
    assert rejected == [(401, "unauthenticated")] * len(rejected)


# --- event headers ------------------------------------------------------------------------------

LONG_AGO = datetime.now(UTC) - timedelta(days=36500)

MALFORMED = {
    "another hub": {"ce-hub": "elsewhere"},
    "another event family": {"ce-type": "azure.eventgrid.user.message"},
    "no type": {"ce-type": ""},
    "no id": {"ce-id": ""},
    "no time": {"ce-time": "yesterday"},
    "a state that is not JSON": {"ce-connectionState": "bm9uc2Vuc2U="},
    "an incomplete state": {"ce-connectionState": base64.b64encode(b"[" * 5000).decode()},
    "a state with an invalid room": {"ce-connectionState": base64.b64encode(b'["a:b"]').decode()},
    "a state that is not base64": {"ce-connectionState": "\u00e9"},
}


@pytest.mark.parametrize("changes", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_signed_event_is_rejected(
    service: Service, changes: dict[str, str]
) -> None:
    headers = event_headers("message") | changes

    response = await service.call("POST", headers, json.dumps(message("lobby")).encode())

    assert response.status == 400


USERS = ["", "a:b", "x' or PartitionKey ne 'x", "ann\u202e", "a" * 8000, "../..", "Ann Lee"]


@pytest.mark.parametrize("user", USERS, ids=lambda text: text[:8])
@pytest.mark.parametrize("event", ["connect", "connected", "disconnected"])
async def test_a_system_event_with_an_invalid_user_id_is_rejected(
    service: Service, event: str, user: str
) -> None:
    response = await service.send_system_event(event, user=user)

    assert response.status in {400, 401}


@pytest.mark.parametrize("minutes", [-10, 10, -(10**8)])
async def test_an_event_with_an_old_or_future_time_is_rejected(
    service: Service, own: Instance, room: str, minutes: int
) -> None:
    moment = max(LONG_AGO, datetime.now(UTC) + timedelta(minutes=minutes))
    headers = event_headers("message", rooms=[room]) | {"ce-time": moment.isoformat()}

    response = await service.call("POST", headers, json.dumps(message(room)).encode())

    assert (response.status, response.code) == (200, "stale_event")
    assert await count_stored(own, room) == 0


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        ("connect", 400, "stale_event"),
        ("connected", 400, "stale_event"),
        ("disconnected", 204, None),  # Presence checks with the service who has left.
    ],
)
async def test_an_old_event_begins_no_connection(
    service: Service, event: str, status: int, code: str | None
) -> None:
    moment = datetime.now(UTC) - timedelta(days=300)
    headers = event_headers(event, system=True) | {"ce-time": moment.isoformat()}

    response = await service.call("POST", headers, b"{}")

    assert (response.status, response.code) == (status, code)


@pytest.mark.parametrize("group", ["name.__8=", "name.__8", "name.a", "name.\u00e9", "name."])
async def test_a_group_that_carries_no_valid_name_is_ignored(service: Service, group: str) -> None:
    claims = {"claims": {"webpubsub.group": [group, "weather"]}}

    response = await service.send_system_event("connect", claims, user="ann-88888888")

    assert response.status == 200
    assert response.json["groups"] == ["user.ann-88888888", "weather"]


async def test_an_event_delivered_twice_has_one_effect_and_one_response(
    service: Service, own: Instance, room: str
) -> None:
    headers = event_headers("message", rooms=[room])

    def deliver() -> Any:  # a new message id each time, the same event id
        return service.call("POST", headers, json.dumps(message(room)).encode())

    responses = await asyncio.gather(*(deliver() for _ in range(5)))
    responses.append(await deliver())

    assert {(one.status, one.body) for one in responses} == {(204, b"")}
    assert await count_stored(own, room) == 1


async def outcome_of(size: int) -> WebhookResponse:
    return WebhookResponse(b"x" * size)


def event(number: int, connection: str = "a connection") -> CloudEvent:
    headers = event_headers("message", connection="of-the-test") | {"ce-id": str(number)}
    headers["ce-connectionId"] = connection.replace(" ", "-")
    return parse_event({name.lower(): value for name, value in headers.items()}, b"")


@given(st.lists(st.integers(0, 3_000_000), min_size=20, max_size=120))
@settings(max_examples=20, deadline=None)
def test_the_duplicate_filter_is_bounded_for_responses_of_any_size(sizes: list[int]) -> None:
    async def handle_all() -> None:
        filter_ = DuplicateFilter()
        for number, size in enumerate(sizes):
            await filter_.run(event(number), partial(outcome_of, size))
            assert filter_.cached_bytes <= MAX_CACHE_BYTES

    tracemalloc.start()
    try:
        asyncio.run(handle_all())
        current, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert current < MAX_CACHE_BYTES + 4 * 1024 * 1024


async def test_the_duplicate_filter_is_bounded_for_many_small_responses() -> None:
    filter_ = DuplicateFilter()

    for number in range(20_000):
        await filter_.run(event(number), partial(outcome_of, number % 2_000))

    assert 0 < filter_.cached_bytes <= MAX_CACHE_BYTES


async def test_a_cached_response_expires() -> None:
    time = 1000.0
    filter_ = DuplicateFilter(clock=lambda: time)
    handled = 0

    async def handle() -> WebhookResponse:
        nonlocal handled
        handled += 1
        return WebhookResponse()

    await filter_.run(event(1), handle)
    time += OUTCOME_CACHE_SECONDS - 1
    await filter_.run(event(1), handle)
    time += 1
    await filter_.run(event(1), handle)

    assert handled == 2


async def test_a_rejected_event_is_checked_again_when_it_is_delivered_again(
    service: Service, own: Instance, room: str
) -> None:
    headers = event_headers("message") | {"ce-connectionId": new_connection()}
    headers["ce-signature"] = signature(headers["ce-connectionId"])
    body = json.dumps(message(room)).encode()
    state = {"ce-connectionState": base64.b64encode(json.dumps([room]).encode()).decode()}

    rejected = await service.call("POST", headers, body)
    stored = await service.call("POST", headers | state, body)

    assert (rejected.code, stored.status) == ("not_in_room", 204)
    assert await count_stored(own, room) == 1


async def test_disconnected_events_do_not_wait_for_the_grace_period(
    service: Service, room: str
) -> None:
    """More events at once than the number of requests that an instance handles concurrently."""
    began = time.monotonic()

    responses = await asyncio.gather(
        *(
            service.send_system_event("disconnected", {"reason": ""}, rooms=[room])
            for _ in range(200)
        )
    )

    assert {one.status for one in responses} == {204}
    # 200 requests, 16 at once, would take 13 grace periods.
    assert time.monotonic() - began < 12 * GRACE_SECONDS


async def test_the_same_id_on_another_connection_is_another_event(
    service: Service, own: Instance, room: str
) -> None:
    for _ in range(2):
        headers = event_headers("message", rooms=[room]) | {"ce-id": "1"}
        await service.call("POST", headers, json.dumps(message(room)).encode())

    assert await count_stored(own, room) == 2


async def test_connection_events_out_of_order_are_accepted(service: Service) -> None:
    connection = new_connection()

    responses = [
        await service.send_system_event(event, {"reason": "gone"}, connection=connection)
        for event in ("disconnected", "disconnected", "connected", "disconnected")
    ]

    assert [one.status for one in responses] == [204] * 4


# --- rejected events: status 200, because an error status may close the connection -------------

BAD_JSON = {
    "empty": b"",
    "not JSON": b"hello",
    "truncated": b'{"room": "lobby", "content": "he',
    "not a number": b'{"room": "lobby", "content": NaN, "id": "1"}',
    "a lone surrogate": b'{"room": "lobby", "content": "\\ud800", "id": "1"}',
    "not UTF-8": b'{"room": "lobby", "content": "\xff\xfe", "id": "1"}',
    "a byte order mark": b'\xef\xbb\xbf{"room": "lobby", "content": "hello", "id": "1"}',
    "deep nesting in another field": b'{"else":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
}

BAD_SHAPE = {
    "null": b"null",
    "deep nesting": b'{"room":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "a list": b"[]",
    "a text": b'"x"',
    "an infinite number": b"1e999",
    "a number as the text": b'{"room": "lobby", "content": 1e999, "id": "1"}',
    "a list as the text": b'{"room": "lobby", "content": [], "id": "1"}',
    "no text": b'{"room": "lobby", "id": "1"}',
    "no id": b'{"room": "lobby", "content": "hello"}',
}


@pytest.mark.parametrize(
    ("body", "code"),
    [pytest.param(body, "bad_json", id=name) for name, body in BAD_JSON.items()]
    + [pytest.param(body, "invalid_request", id=name) for name, body in BAD_SHAPE.items()],
)
async def test_an_invalid_message_is_rejected_to_its_sender(
    service: Service, own: Instance, room: str, body: bytes, code: str
) -> None:
    body = body.replace(b"lobby", room.encode())

    response = await service.send_event("message", body, rooms=[room])

    assert (response.status, response.code) == (200, code)
    assert response.json["type"] == "error"
    assert response.json["event"] == "message"
    assert await count_stored(own, room) == 0


@pytest.mark.parametrize(
    ("event", "data", "code"),
    [
        ("shout", {}, "unknown_event"),
        ("message", {"content": "", "id": "1"}, "empty_content"),
        ("message", {"content": " \u200b\u2060\n", "id": "1"}, "empty_content"),
        ("message", {"content": "\U0001f600" * 2000 + "x", "id": "1"}, "content_too_long"),
        ("message", {"content": "hello", "id": ""}, "invalid_id"),
        ("message", {"content": "hello", "id": "x" * 65}, "invalid_id"),
        ("message", {"content": "hello", "id": "a/b"}, "invalid_id"),
        ("message", {"content": "hello", "id": "1", "room": "elsewhere"}, "not_in_room"),
        ("join", {"room": "a:b"}, "invalid_room"),
        ("join", {"after": "first"}, "invalid_request"),
        ("leave", {"room": "elsewhere"}, "not_in_room"),
        ("typing", {"room": "elsewhere"}, "not_in_room"),
        ("read", {"seq": -1}, "invalid_cursor"),
        ("read", {"seq": 1}, "invalid_cursor"),
        ("read", {"seq": "all"}, "invalid_request"),
        ("read", {"seq": 0, "to": "bob-22222222"}, "invalid_request"),
        ("direct", {"to": "ann-22222222", "content": "me", "id": "1"}, "direct_to_self"),
        ("direct", {"to": "nobody-22222222", "content": "hello", "id": "1"}, "unreachable"),
        ("direct", {"to": "ann-22222222:bob", "content": "hello", "id": "1"}, "invalid_user"),
    ],
)
async def test_an_event_that_is_not_allowed_is_rejected_to_its_sender(
    service: Service, own: Instance, room: str, event: str, data: dict[str, Any], code: str
) -> None:
    response = await service.send_event(event, {"room": room} | data, rooms=[room])

    assert (response.status, response.code) == (200, code)
    assert await count_stored(own, room) == 0


async def test_a_message_of_the_maximum_length_is_stored_unchanged(
    service: Service, own: Instance, room: str
) -> None:
    longest = "\U0001f600" * 2000
    verbatim = ["<img src=x onerror=alert(1)>", "</script>", "[x](javascript:1)", "\u202eabc"]

    for text in (longest, *verbatim):
        assert (
            await service.send_event("message", message(room, text), rooms=[room])
        ).status == 204

    entries = (await own.history.read_page(room)).messages
    assert [entry.content for entry in entries] == [longest, *verbatim]


async def test_server_fields_in_a_message_are_ignored(
    service: Service, own: Instance, room: str
) -> None:
    forged = {"from": "bob-22222222", "seq": 99, "timestamp": "1970-01-01", "epoch": "x"}

    await service.send_event("message", message(room) | forged, user="ann-22222222", rooms=[room])

    (entry,) = (await own.history.read_page(room)).messages
    assert (entry.sender, entry.seq, entry.timestamp[:2]) == ("ann-22222222", 1, "20")


async def test_a_repeated_message_is_stored_once_and_another_text_with_its_id_is_rejected(
    service: Service, own: Instance, room: str
) -> None:
    data = message(room)

    async def send(user: str, **changes: str) -> str | None:
        return (await service.send_event("message", data | changes, user=user, rooms=[room])).code

    codes = [
        await send("ann-22222222"),
        await send("ann-22222222"),
        await send("ann-22222222", content="another"),
        await send("bob-22222222", content="his own"),
    ]

    assert codes == [None, None, "id_conflict", None]
    assert await count_stored(own, room) == 2


async def test_an_event_above_the_size_limit_is_rejected_to_its_sender(service: Service) -> None:
    body = json.dumps(message("lobby", "x" * MAX_BODY_BYTES)).encode()

    signed = await service.send_event("message", body, rooms=["lobby"])
    system = await service.call("POST", event_headers("connect", system=True), body)
    unsigned = await service.call(
        "POST", event_headers("message") | {"ce-signature": "sha256=0"}, body
    )

    assert (signed.status, signed.code) == (200, "too_large")
    assert (system.status, system.code) == (413, "too_large")
    assert (unsigned.status, unsigned.code) == (401, "unauthenticated")


async def test_a_text_event_is_rejected(
    stack: Stack, http: aiohttp.ClientSession, room: str
) -> None:
    ann = await User.create(http, stack.url, "ann")
    async with ann.connect(room) as tab:
        refused = await tab.send_rejected("message", "hello", "text")

        assert refused["code"] == "invalid_request"
        await tab.send_message(room, "the connection is still there")


# --- random events ------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(["room", "content", "id", "to", "seq", "after", "epoch"])
BODIES = st.binary(max_size=200) | st.one_of(JSON, st.dictionaries(FIELDS, JSON)).map(
    lambda data: json.dumps(data).encode()
)
EVENTS = st.sampled_from(["join", "leave", "message", "direct", "typing", "read", "", "*"])
HEADERS = st.dictionaries(
    st.sampled_from(list(event_headers("message"))),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f")),
)


async def test_random_events_get_an_error_message(service: Service) -> None:
    loop = asyncio.get_running_loop()

    @settings(max_examples=150, deadline=None)
    @given(event=EVENTS, body=BODIES)
    def check(event: str, body: bytes) -> None:
        sending = service.send_event(event, body, user="fuzz-2", rooms=["fuzz"])
        response = asyncio.run_coroutine_threadsafe(sending, loop).result(RESPONSE_TIMEOUT_SECONDS)

        assert response.status in {200, 204} or (event == "" and response.status == 400)
        assert response.status == 204 or response.json["type"] in {"error", "left"}

    await asyncio.to_thread(check)


async def test_random_unsigned_requests_are_rejected(service: Service) -> None:
    loop = asyncio.get_running_loop()
    unsigned = event_headers("message", rooms=["fuzz"])
    unsigned["ce-signature"] = signature(new_connection())

    @settings(max_examples=150, deadline=None)
    @given(headers=HEADERS, body=BODIES)
    def check(headers: dict[str, str], body: bytes) -> None:
        sending = service.call("POST", unsigned | headers, body)
        response = asyncio.run_coroutine_threadsafe(sending, loop).result(RESPONSE_TIMEOUT_SECONDS)

        assert response.status in {400, 401}
        assert response.code in {"unauthenticated", "invalid_request"}

    await asyncio.to_thread(check)
