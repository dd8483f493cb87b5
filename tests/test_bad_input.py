"""Invalid HTTP requests get a documented error, never status 500 or a trace, and change nothing."""

import asyncio
import contextlib
import json
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import function_app  # noqa: F401 - declares every HTTP function
from local.parts import Part, Stack
from realtime.http import MAX_BODY_BYTES, Access, Endpoint, endpoints
from tests.instances import Instance, instance
from tests.strict import KEY
from tests.users import User

RESPONSE_TIMEOUT_SECONDS = 30.0
"""How long a response may take on a busy machine."""


@pytest.fixture
async def ann(stack: Stack, http: aiohttp.ClientSession) -> User:
    return await User.create(http, stack.url, "ann")


@pytest.fixture
async def own(stack: Stack) -> AsyncIterator[Instance]:
    async with instance(stack) as made:
        yield made


async def ask(
    http: aiohttp.ClientSession, method: str, url: str, **options: Any
) -> tuple[int, str | None]:
    """The status of a response, and the code of its error."""
    async with http.request(method, url, **options) as response:
        if response.content_type != "application/json":
            return response.status, None
        body = await response.json()
        return response.status, body["error"]["code"] if "error" in body else None


def path_of(one: Endpoint, value: str = "lobby") -> str:
    """The path of a function, with this value for each route parameter."""
    return "/" + re.sub(
        r"\{.*?\}", "" if "ignored" in one.route else quote(value, safe=""), one.route
    )


def requests_of(access: Access) -> list[Any]:
    """Every method and path of the functions with this access."""
    return [
        pytest.param(method, path_of(one), id=f"{method} {one.name}")
        for one in endpoints
        if one.access is access
        for method in one.methods
    ]


# --- access -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), requests_of(Access.SESSION))
@pytest.mark.parametrize(
    "proof", [None, "Bearer ", "Bearer nonsense", "Basic YW5uOmFubg==", "\xe9"]
)
async def test_a_request_without_a_valid_session_is_unauthenticated(
    stack: Stack, http: aiohttp.ClientSession, method: str, path: str, proof: str | None
) -> None:
    headers = {} if proof is None else {"Authorization": proof}
    path = path.replace("streams/lobby", "streams/weather")

    assert await ask(http, method, stack.url + path, headers=headers) == (401, "unauthenticated")


@pytest.mark.parametrize(("method", "path"), requests_of(Access.SERVER))
@pytest.mark.parametrize("key", [None, "", "another"])
async def test_a_server_function_without_the_key_is_unauthorized(
    strict: Part, http: aiohttp.ClientSession, method: str, path: str, key: str | None
) -> None:
    headers = {} if key is None else {"x-functions-key": key}

    assert await ask(http, method, strict.url + path, headers=headers, data=b"{}") == (401, None)


async def test_a_user_session_is_not_accepted_as_a_key(
    strict: Part, http: aiohttp.ClientSession
) -> None:
    ann = await User.create(http, strict.url, "ann")

    assert (await ann.ask("POST", "/api/publish", json={}))[0] == 401
    assert (await ann.ask("POST", f"/api/publish?code={KEY}", json={}))[0] == 200


async def test_principal_headers_are_ignored_with_guest_identity(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    forged = {"X-MS-CLIENT-PRINCIPAL-ID": "4711", "X-MS-CLIENT-PRINCIPAL-NAME": "bob"}

    assert await ask(http, "GET", f"{stack.url}/api/rooms", headers=forged) == (
        401,
        "unauthenticated",
    )


# --- names --------------------------------------------------------------------------------------

INVALID_NAMES = [
    "a" * 65, "*", "**", "a.*", "a,b", "a:b", "a\\b", "a#b", "a?b", "%2f", "-a", "_a", "a b",
    "a\x00", "a\n", "a\r\nX-Injected: 1", "a\u202e", "\u0430", "x' or PartitionKey ne 'x",
    "x' or true or '", "\x7f", "\x85", "a" * 4000, "\ud800".encode(errors="surrogatepass"),
]  # fmt: skip


@pytest.mark.parametrize("name", INVALID_NAMES, ids=lambda name: ascii(name)[:24])
async def test_an_invalid_name_is_rejected_by_every_function(ann: User, name: str | bytes) -> None:
    part = quote(name, safe="")

    async def code(method: str, path: str, **options: Any) -> tuple[int, str | None]:
        status, body = await ann.ask(method, path, **options)
        return status, body and body["error"]["code"]

    def rejected(code: str) -> tuple[int, str | None]:
        """The host itself rejects a NUL in a path, as Azure's host does."""
        return 400, None if "%00" in part else code

    for path in (f"/api/rooms/{part}/history", f"/api/rooms/{part}/users"):
        assert await code("GET", path) == rejected("invalid_room")
    assert await code("GET", f"/api/negotiate?room={part}") == (400, "invalid_room")
    assert await code("PUT", f"/api/rooms/{part}", json={}) == rejected("invalid_room")
    for path in (f"/api/users/{part}/online", f"/api/direct/{part}/history"):
        assert await code("GET", path) == rejected("invalid_user")
    assert await code("PUT", f"/api/users/{part}/ban") == rejected("invalid_user")
    assert await code("POST", f"/api/publish?user={part}", json={}) == (400, "invalid_user")
    assert await code("POST", f"/api/publish?group=room.{part}", json={}) == (400, "invalid_room")
    subscribed = await code("POST", f"/api/streams/{part}/subscribe")
    assert subscribed == (rejected("") if "%00" in part else (404, "unknown_stream"))


@pytest.mark.parametrize("path", ["a/b", "../x", "..%2fx", "a%2fb"])
async def test_a_slash_in_a_room_name_is_rejected(ann: User, path: str) -> None:
    status, _ = await ann.ask("GET", f"/api/rooms/{path}/history")

    assert status in {400, 404}


@pytest.mark.parametrize(
    "file", ["..%2fhost.json", "%2e%2e%2fhost.json", "host.json", "a%00.js", "a" * 300 + ".js", "."]
)
async def test_a_path_outside_the_assets_is_not_served(
    stack: Stack, http: aiohttp.ClientSession, file: str
) -> None:
    status, _ = await ask(http, "GET", f"{stack.url}/assets/{file}")

    assert status == (400 if "%00" in file else 404)  # the host itself rejects a NUL


# --- queries ------------------------------------------------------------------------------------

INVALID_RANGES = [
    ("limit=0", "invalid_request"),
    ("limit=-1", "invalid_request"),
    ("limit=201", "invalid_request"),
    ("limit=1e9", "invalid_request"),
    ("limit=abc", "invalid_request"),
    ("limit=1.5", "invalid_request"),
    ("limit=1,2", "invalid_request"),
    ("before=0", "invalid_request"),
    ("before=x", "invalid_request"),
    ("after=-1", "invalid_request"),
    ("after=1' or true", "invalid_request"),
    ("after=99999999999999999999999", "invalid_cursor"),
    ("before=9999999999", "invalid_cursor"),
    ("before=1&after=0", "invalid_cursor"),
]


@pytest.mark.parametrize(("query", "code"), INVALID_RANGES)
@pytest.mark.parametrize("of", ["rooms/lobby", "direct/bob-22222222"])
async def test_an_invalid_history_range_is_rejected(
    ann: User, of: str, query: str, code: str
) -> None:
    status, body = await ann.ask("GET", f"/api/{of}/history?{query}")

    assert (status, body["error"]["code"]) == (400, code)


# --- bodies -------------------------------------------------------------------------------------

INVALID_BODIES: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"hello", "bad_json"),
    "truncated": (b'{"content": "he', "bad_json"),
    "not a number": (b'{"content": NaN}', "bad_json"),
    "a lone surrogate": (b'{"content": "\\ud800"}', "bad_json"),
    "a byte order mark": (b'\xef\xbb\xbf{"content": "hello"}', "bad_json"),
    "deep nesting in another field": (b'{"x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "bad_json"),
    "null": (b"null", "invalid_request"),
    "a list": (b"[]", "invalid_request"),
    "an infinite number": (b"1e999", "invalid_request"),
    "another type": (b'{"content": 1, "user_id": 1, "private": 1}', "invalid_request"),
}


@pytest.mark.parametrize(("body", "code"), INVALID_BODIES.values(), ids=INVALID_BODIES)
async def test_an_invalid_body_is_rejected_and_nothing_is_stored(
    stack: Stack, http: aiohttp.ClientSession, own: Instance, body: bytes, code: str
) -> None:
    room = f"room-{uuid.uuid4().hex}"
    for method, path in (
        ("POST", "negotiate"),
        ("POST", f"rooms/{room}/message"),
        ("PUT", f"rooms/{room}"),
        ("POST", "users/bob-22222222/message"),
    ):
        assert await ask(http, method, f"{stack.url}/api/{path}", data=body) == (400, code)

    assert (await own.logs.read_head(room)).seq == 0


async def test_a_body_that_is_not_utf8_is_rejected(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    body = b'{"user_id": "\xff", "content": "\xff"}'

    for path in ("negotiate", "rooms/lobby/message", "publish"):
        assert await ask(http, "POST", f"{stack.url}/api/{path}", data=body) == (400, "bad_json")


async def test_the_last_value_of_a_repeated_field_is_used(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    body = b'{"room": "a:b", "room": "lobby"}'
    async with http.post(f"{stack.url}/api/negotiate", data=body) as response:
        assert (await response.json())["room"] == "lobby"


@pytest.mark.parametrize("path", ["negotiate", "rooms/lobby/message", "publish"])
async def test_a_body_above_the_size_limit_is_rejected(
    stack: Stack, http: aiohttp.ClientSession, path: str
) -> None:
    body = json.dumps({"content": "x" * MAX_BODY_BYTES}).encode()

    assert await ask(http, "POST", f"{stack.url}/api/{path}", data=body) == (413, "too_large")


async def test_publish_requires_one_object_and_one_target(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    url = f"{stack.url}/api/publish"

    assert await ask(http, "POST", url, data=b"[]") == (400, "invalid_request")
    both = await ask(http, "POST", f"{url}?group=weather&user=ann-22222222", data=b"{}")
    assert both == (400, "invalid_request")


@pytest.mark.parametrize("target", ["?user=fuzz-22222222", "?group=fuzz", ""])
async def test_an_object_is_nested_at_most_100_deep(
    stack: Stack, http: aiohttp.ClientSession, target: str
) -> None:
    expected: dict[int, tuple[int, str | None]] = {50: (200, None), 100: (200, None)}
    expected |= dict.fromkeys([101, 500, *range(900, 1000, 9), 10_000], (400, "bad_json"))

    responses = {}
    for depth in expected:
        nested = depth - 1
        body = b'{"deep":' + b"[" * nested + b"1," * 200 + b"1" + b"]" * nested + b"}"
        url = f"{stack.url}/api/publish{target}"
        responses[depth] = await ask(http, "POST", url, data=body)

    assert responses == expected


async def send_bytes(stack: Stack, request: bytes) -> bytes:
    """The response to raw bytes; empty where the host closes the connection."""
    host, port = stack.functions.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    response = b""
    async with asyncio.timeout(RESPONSE_TIMEOUT_SECONDS):
        with contextlib.suppress(OSError):
            writer.write(request)
            writer.write_eof()
            response = await reader.read()
    writer.close()
    return response


POST = b"POST /api/negotiate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 100\r\n\r\n{}",
        b"Content-Length: 1\r\n\r\n{}",
        b"Content-Length: -1\r\n\r\n{}",
        b"Content-Length: many\r\n\r\n{}",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
    ids=lambda rest: rest.partition(b"\r\n\r\n")[0].decode(),
)
async def test_a_body_with_a_wrong_length_is_rejected_quickly(stack: Stack, rest: bytes) -> None:
    response = await send_bytes(stack, POST + rest)

    assert re.match(rb"$|HTTP/1.[01] 4", response)
    assert b"Traceback" not in response


# --- methods, origins, headers ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "pubsub/events"),
        ("PUT", "pubsub/events"),
        ("DELETE", "negotiate"),
        ("PATCH", "rooms/lobby/history"),
        ("GET", "publish"),
        ("TRACE", "health"),
    ],
)
async def test_an_undeclared_method_is_not_found(
    stack: Stack, http: aiohttp.ClientSession, method: str, path: str
) -> None:
    assert await ask(http, method, f"{stack.url}/api/{path}") == (404, None)


@pytest.mark.parametrize("origin", ["https://elsewhere.com", "null"])
async def test_no_cors_headers_are_sent_to_an_origin_that_is_not_allowed(
    stack: Stack, http: aiohttp.ClientSession, origin: str
) -> None:
    headers = {"Origin": origin}
    async with http.post(f"{stack.url}/api/negotiate", headers=headers) as response:
        assert not [name for name in response.headers if name.startswith("Access-Control")]


async def test_a_user_id_with_line_breaks_adds_no_response_header(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    body = {"user_id": "ann\r\nX-Injected: 1", "groups": ["stocks"]}
    async with http.post(f"{stack.url}/api/negotiate", json=body) as response:
        assert response.status == 200
        assert "X-Injected" not in response.headers


async def test_the_page_has_a_strict_content_security_policy(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    async with http.get(stack.url) as response:
        headers = response.headers
        rules = dict(
            rule.strip().split(" ", 1) for rule in headers["Content-Security-Policy"].split(";")
        )
        page = await response.text()

    hub = stack.webpubsub_url.replace("http", "ws", 1)
    assert rules["default-src"] == rules["base-uri"] == rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == "'self'"
    assert rules["connect-src"] == f"'self' {hub}"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|javascript:|<style", page)


async def test_responses_about_a_user_are_not_cacheable(ann: User) -> None:
    async with ann.request("GET", "/api/rooms") as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


# --- random requests ----------------------------------------------------------------------------

TEXTS = st.text(max_size=80) | st.sampled_from(["fuzz-room", "weather", "x' or true or '", "%00"])
QUERIES = st.dictionaries(
    st.sampled_from(["limit", "before", "after", "room", "user_id", "groups", "user", "code"]),
    TEXTS,
    max_size=3,
)
FIELDS = st.sampled_from(["content", "from", "id", "user_id", "room", "groups", "private"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
BODIES = st.binary(max_size=100) | st.dictionaries(FIELDS, VALUES).map(
    lambda data: json.dumps(data).encode()
)


async def test_random_requests_get_a_documented_status(ann: User) -> None:
    loop = asyncio.get_running_loop()

    async def send(method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, str]:
        async with ann.request(method, path, params=query, data=body) as response:
            assert "X-Injected" not in response.headers
            return response.status, await response.text(errors="replace")

    @settings(max_examples=150, deadline=None)
    @given(
        one=st.sampled_from(endpoints), place=TEXTS.filter(bool), query=QUERIES, body=BODIES,
        data=st.data(),
    )  # fmt: skip
    def check(one: Endpoint, place: str, query: dict[str, str], body: bytes, data: Any) -> None:
        method = data.draw(st.sampled_from(one.methods))
        sending = send(method, path_of(one, place), query, body)

        status, text = asyncio.run_coroutine_threadsafe(sending, loop).result(
            RESPONSE_TIMEOUT_SECONDS
        )

        limited = {429} if "rate_limited" in one.errors else set()
        assert status in {200, 204, 400, 401, 403, 404, 409, 413} | limited
        assert "Traceback" not in text
        if status >= 400 and text.startswith("{"):
            wait = {"retry_after_ms"} if status == 429 else set()
            assert json.loads(text)["error"].keys() == {"code", "message", "retry"} | wait

    await asyncio.to_thread(check)
