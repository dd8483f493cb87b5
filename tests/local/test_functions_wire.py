"""HTTP on the wire: requests that the real host rejects before a function, and its responses."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from local.parts import Part
from tests import fetch
from tests.local.small_app import host_app, write_app

TIMEOUT_SECONDS = 20.0
SOURCE = """
@app.route("echo/{*rest}", auth_level=func.AuthLevel.FUNCTION)
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps({
        "params": dict(req.params), "route": dict(req.route_params), "headers": dict(req.headers),
    }))

@app.route("reply")
async def reply(req: func.HttpRequest) -> func.HttpResponse:
    headers = json.loads(req.get_body() or b"{}")
    return func.HttpResponse("text" * int(req.params.get("times", 1)), headers=headers)

@app.route("status/{code}")
async def status(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(b"ignored", status_code=int(req.route_params["code"]))

@app.route("cookie")
async def cookie(req: func.HttpRequest) -> func.HttpResponse:
    reply = func.HttpResponse()
    for line in req.get_body().decode().splitlines():
        reply.headers.add("Set-Cookie", line)
    return reply
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Part]:
    with host_app(write_app(tmp_path_factory.mktemp("app"), SOURCE)) as part:
        yield part


def send(host: Part, data: bytes) -> tuple[int, bytes]:
    """Send raw bytes. Returns the status and the whole response. The host closes the connection."""
    name, _, port = host.address.partition(":")
    with closing(socket.create_connection((name, int(port)), TIMEOUT_SECONDS)) as connection:
        connection.sendall(data)
        response = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(response.split(b" ", 2)[1]), response


def get(target: bytes, *headers: bytes, host: bytes = b"localhost") -> bytes:
    lines = [b"GET " + target + b" HTTP/1.1", b"Host: " + host, *headers, b"Connection: close"]
    return b"\r\n".join([*lines, b"", b""])


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get(b"/api/echo/x"), 200),
        (get(b"/api/echo/a%00b"), 400),
        (get(b"/nowhere/%00"), 400),
        (get(b"/api/echo/x", b"X-Bytes: \xff\xfe"), 400),
        (get(b"/api/echo/x", "X-Text: žluť".encode()), 200),
        (get(b"/api/echo/x", b"no colon"), 400),
        (b"nonsense\r\n\r\n", 400),
        (get(b"/api/echo/x", *[b"X-%d: 1" % n for n in range(98)]), 200),
        (get(b"/api/echo/x", *[b"X-%d: 1" % n for n in range(99)]), 431),
        (get(b"/api/echo/x", b"X-Long: " + 20_000 * b"a"), 200),
        (get(b"/api/echo/x", b"X-Long: " + 33_000 * b"a"), 431),
        (get(b"/api/echo/x", b"X-A: " + 17_000 * b"a", b"X-B: " + 17_000 * b"b"), 431),
        (get(b"/api/echo/" + 8_000 * b"a"), 200),
        (get(b"/api/echo/" + 8_167 * b"a"), 200),
        (get(b"/api/echo/" + 8_168 * b"a"), 414),
        (get(b"/api/echo/x?q=" + 9_000 * b"a"), 414),
    ],
)
def test_requests_above_the_limits_of_kestrel_are_rejected(
    host: Part, request_bytes: bytes, status: int
) -> None:
    assert send(host, request_bytes)[0] == status


def test_a_rejection_has_no_body_and_logs_no_traceback(host: Part) -> None:
    status, response = send(host, get(b"/api/echo/" + 9_000 * b"a"))

    assert status == 414
    assert response.endswith(b"\r\n\r\n")
    assert not [line for line in host.output if "Traceback" in line]


def test_dot_segments_are_resolved_and_invalid_utf8_stays_encoded(host: Part) -> None:
    _, response = send(host, get(b"/api/none/../echo/%ff/a%2fb?p=%ff"))

    assert b'"rest": "%ff/a%2fb"' in response
    assert b'"p": "%ff"' in response.lower()


def test_query_names_are_case_insensitive(host: Part) -> None:
    _, response = send(host, get(b"/api/echo/x?Q=1&q=2&a=&Q=3"))

    assert b'"params": {"Q": "1,2,3"}' in response


@pytest.mark.parametrize(("times", "chunk"), [(1, b"4"), (5000, b"4e20")])
def test_a_body_is_sent_in_chunks(host: Part, times: int, chunk: bytes) -> None:
    _, response = send(host, get(b"/api/reply?times=%d" % times))
    head, _, body = response.partition(b"\r\n\r\n")

    assert b"transfer-encoding: chunked" in head.lower()
    assert b"content-length" not in head.lower()
    assert body == chunk + b"\r\n" + times * b"text" + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_status_without_a_body_has_none(host: Part, status: int) -> None:
    found, response = send(host, get(b"/api/status/%d" % status))

    assert found == status
    assert response.partition(b"\r\n\r\n")[2] == b""
    assert b"chunked" not in response


def test_an_http_1_0_client_receives_no_chunks(host: Part) -> None:
    status, response = send(host, b"GET /api/reply HTTP/1.0\r\nHost: localhost\r\n\r\n")

    assert status == 200
    assert response.endswith(b"\r\n\r\ntext")


@pytest.mark.parametrize(
    "headers",
    [{"X-Name": "žluť"}, {"X Name": "1"}, {"X-Name": "a\r\nSet-Cookie: b=1"}, {"": "1"},
     {"X-Näme": "1"}, {"X-Name": "\x7f"}],
)  # fmt: skip
def test_an_invalid_response_header_is_a_500(host: Part, headers: dict[str, str]) -> None:
    response = fetch.post(f"{host.url}/api/reply", json=headers)

    assert (response.status_code, response.content) == (500, b"")
    assert "set-cookie" not in response.headers


def test_a_header_with_a_tab_is_sent(host: Part) -> None:
    assert fetch.post(f"{host.url}/api/reply", json={"X-Name": "a\tb"}).headers["X-Name"] == "a\tb"


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("a=1", "a=1; domain=; path="),
        ("a=b==; Path=/x", "a=b%3D%3D; domain=; path=/x"),
        ("a=1; Domain=example.com; Secure; HttpOnly; SameSite=None",
         "a=1; domain=example.com; path=; secure; samesite=none; httponly"),
        ("a=1; Max-Age=60; Expires=Wed, 21 Oct 2026 07:28:00 GMT; SameSite=lax",
         "a=1; expires=Wed, 21 Oct 2026 07:28:00 GMT; max-age=60; domain=; path=; samesite=lax"),
    ],
)  # fmt: skip
def test_a_cookie_is_normalized(host: Part, written: str, sent: str) -> None:
    response = fetch.post(f"{host.url}/api/cookie", content=written.encode())

    assert response.headers.get_list("Set-Cookie") == [sent]


def test_many_requests_use_one_connection(host: Part) -> None:
    with closing(http.client.HTTPConnection(host.address, timeout=TIMEOUT_SECONDS)) as connection:
        for size in (1, 3000, 20, 100_000):
            connection.request("POST", f"/api/reply?times={size}", body=b"{}")
            assert connection.getresponse().read() == size * b"text"
