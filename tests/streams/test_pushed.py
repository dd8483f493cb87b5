"""Pushed streams over HTTP, on two instances of the app."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from local.parts import Part, Stack, free_ports, start_functions
from realtime.errors import ApiError
from realtime.streams import pushed
from realtime.streams.pushed import DEFINITIONS_CACHE_SECONDS, NewFrame, PushedStream
from realtime.streams.store import FRAME_CACHE_SECONDS
from tests.streams.hosts import NOW, SECOND, Host
from tests.strict import KEY, QUIET

PROPAGATION_SECONDS = 5.0
PROPAGATION_TIMEOUT_SECONDS = PROPAGATION_SECONDS + 15  # a busy machine takes time for requests
POLL_SECONDS = 0.05


@pytest.fixture(scope="module")
def second(stack: Stack) -> Any:
    """A second instance, which requires function keys."""
    (port,) = free_ports(1)
    options = ("--enable-auth", "--key", KEY)
    part = start_functions(port, {**stack.environment, **QUIET}, options=options)
    try:
        part.wait()
        yield part
    finally:
        part.stop()


@pytest.fixture
def name() -> str:
    return f"tide-{uuid.uuid4().hex[:8]}"


class Server:
    """A server that pushes to one instance."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"x-functions-key": KEY}
        async with self.http.request(
            method, f"{self.url}/api/streams/{path}", json=body, headers=headers
        ) as response:
            return response.status, await response.json()

    async def code(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        status, response = await self.call(method, path, body)
        return status, response.get("error", {}).get("code", "")

    async def wait_for_stream(self, name: str, matches: Callable[[Any], bool]) -> Any:
        """The stream as soon as the instance knows it and it matches."""
        async with asyncio.timeout(PROPAGATION_TIMEOUT_SECONDS):
            while True:
                status, stream = await self.call("GET", name)
                if status == 200 and matches(stream):
                    return stream
                await asyncio.sleep(POLL_SECONDS)


@pytest.fixture
async def server(stack: Stack, http: aiohttp.ClientSession) -> Server:
    return Server(http, stack.url)


async def receive_frames(
    socket: aiohttp.ClientWebSocketResponse, count: int
) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while len(frames) < count:
            message = await socket.receive_json()
            frames += [message["data"]] if message["type"] == "message" else []
    return frames


async def negotiate(http: aiohttp.ClientSession, url: str, group: str) -> dict[str, Any]:
    async with http.get(f"{url}/api/negotiate?groups={group}") as response:
        return dict(await response.json())


async def test_a_pushed_stream_is_known_on_another_instance_within_5_seconds(
    server: Server, second: Part, http: aiohttp.ClientSession, name: str
) -> None:
    async with http.get(f"{second.url}/api/streams") as response:
        assert name not in {one["name"] for one in (await response.json())["streams"]}
    status, defined = await server.call("PUT", name, {"title": f"Tide {name}", "fresh_seconds": 30})
    assert (status, defined["group"], defined["interval_seconds"]) == (200, name, 30)

    assert DEFINITIONS_CACHE_SECONDS < FRAME_CACHE_SECONDS <= PROPAGATION_SECONDS
    other = Server(http, second.url)
    await other.wait_for_stream(name, lambda _: True)

    negotiated = await negotiate(http, second.url, name)
    protocols = ["json.webpubsub.azure.v1"]
    async with http.ws_connect(negotiated["url"], protocols=protocols) as socket:
        await socket.receive_json()  # "connected"
        status, pushed = await server.call("POST", name, {"data": {"metres": 1.5}})
        assert (status, pushed["frames"]) == (200, 1)
        (frame,) = await receive_frames(socket, 1)

    assert frame["data"] == {"metres": 1.5}
    assert (frame["type"], frame["stream"], frame["full"]) == ("stream_update", name, True)
    assert frame["tick"] == pushed["tick"]
    shown = await other.wait_for_stream(name, lambda stream: stream["latest"] is not None)
    assert (shown["active"], shown["stale"], shown["last_tick"]) == (True, False, frame["tick"])
    assert shown["latest"] == frame


async def test_a_batch_of_100_frames_is_delivered_in_order_and_recorded(
    server: Server, http: aiohttp.ClientSession, name: str
) -> None:
    await server.call("PUT", name, {"title": f"Tide {name}"})
    url = (await negotiate(http, server.url, name))["url"]
    async with http.ws_connect(url, protocols=["json.webpubsub.azure.v1"]) as socket:
        await socket.receive_json()
        batch = {"frames": [{"data": {"n": n}} for n in range(100)]}
        status, pushed = await server.call("POST", name, batch)
        frames = await receive_frames(socket, 100)

    assert (status, pushed["frames"]) == (200, 100)
    assert [frame["data"]["n"] for frame in frames] == list(range(100))
    ticks = [frame["tick"] for frame in frames]
    assert ticks == sorted(set(ticks))
    status, history = await server.call("GET", f"{name}/history?points=1000")
    assert [point["data"]["n"] for point in history["points"]] == list(range(100))


async def test_concurrent_frames_of_two_servers_are_all_stored(
    server: Server, second: Part, http: aiohttp.ClientSession, name: str
) -> None:
    await server.call("PUT", name, {"title": f"Tide {name}", "always": True})
    other = Server(http, second.url)
    await other.wait_for_stream(name, lambda _: True)

    results = await asyncio.gather(
        *((server, other)[n % 2].call("POST", name, {"data": {"n": n}}) for n in range(10))
    )

    accepted = {n for n, (status, _) in enumerate(results) if status == 200}
    assert all(status in {200, 503} for status, _ in results)
    assert len({body["tick"] for status, body in results if status == 200}) == len(accepted)
    _, history = await server.call("GET", f"{name}/history?points=1000")
    assert {point["data"]["n"] for point in history["points"]} == accepted


async def test_the_group_of_a_stream_is_fixed_and_unique(server: Server, name: str) -> None:
    assert (await server.call("PUT", name, {"title": f"Tide {name}", "group": f"g-{name}"}))[
        0
    ] == 200
    same = {"title": "Low tide", "group": f"g-{name}"}
    status, changed = await server.call("PUT", name, same)
    assert (status, changed["title"]) == (200, "Low tide")

    other = await server.code("PUT", name, {"title": f"Tide {name}", "group": f"h-{name}"})
    assert other == (409, "group_in_use")
    twin = await server.code("PUT", f"{name}-2", {"title": "T", "group": f"g-{name}"})
    assert twin == (409, "group_in_use")
    producer = await server.code("PUT", f"{name}-3", {"title": "T", "group": "stocks"})
    assert producer == (409, "group_in_use")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "invalid_request")),
        ({"data": {}, "frames": []}, (400, "invalid_request")),
        ({"frames": []}, (400, "invalid_request")),
        ({"frames": [{"data": {}}] * 101}, (400, "invalid_request")),
        ({"data": ["a list"]}, (400, "invalid_request")),
        ({"data": {"text": "x" * 65_000}}, (413, "too_large")),
        ({"data": {"text": "x" * 300_000}}, (413, "too_large")),
        ({"frames": [{"data": {}}, {"data": {"text": "x" * 65_000}}]}, (413, "too_large")),
        ({"data": {}, "timestamp": "2001-01-01T00:00:00Z"}, (400, "invalid_request")),
        ({"data": {}, "timestamp": "2999-01-01T00:00:00Z"}, (400, "invalid_request")),
        ({"data": {}, "timestamp": "2026-11-21T10:00:00"}, (400, "invalid_request")),
    ],
)
async def test_an_invalid_push_stores_nothing(
    server: Server, name: str, body: Any, expected: tuple[int, str]
) -> None:
    await server.call("PUT", name, {"title": f"Tide {name}", "always": True})

    assert await server.code("POST", name, body) == expected

    _, shown = await server.call("GET", name)
    assert shown["last_tick"] is None
    _, history = await server.call("GET", f"{name}/history")
    assert history["points"] == []


@pytest.mark.parametrize("depth", [80, 450, 900])
async def test_a_deeply_nested_frame_does_not_disturb_later_frames(
    server: Server, name: str, depth: int
) -> None:
    await server.call("PUT", name, {"title": "Tide", "always": True})
    nested: dict[str, Any] = {"x": 1}
    for _ in range(depth):
        nested = {"x": nested}

    refused = await server.code("POST", name, {"data": nested})

    assert refused == ((200, "") if depth == 80 else (400, "bad_json"))
    assert (await server.code("POST", name, {"data": {"x": 2}}))[0] == 200


async def test_a_deleted_stream_is_gone_with_its_history_and_can_be_defined_again(
    server: Server, name: str
) -> None:
    await server.call("PUT", name, {"title": "Tide", "always": True})
    for n in range(3):
        await server.call(
            "POST", name, {"frames": [{"data": {"n": n * 100 + i}} for i in range(60)]}
        )

    assert await server.call("DELETE", name) == (200, {"stream": name, "deleted": True})

    assert await server.code("DELETE", name) == (404, "unknown_stream")
    assert await server.code("GET", name) == (404, "unknown_stream")
    status, shown = await server.call("PUT", name, {"title": "Tide", "group": f"{name}-2"})
    _, history = await server.call("GET", f"{name}/history")
    assert (status, shown["latest"], history["points"]) == (200, None, [])
    await server.call("DELETE", name)


def make_stream() -> PushedStream:
    name = f"tide-{uuid.uuid4().hex[:8]}"
    return PushedStream(name, "Tide", name, "", "tide_update", 60.0, always=True)


async def test_a_stream_stays_while_its_history_is_not_deleted(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = make_stream()
    await host.pushed.put(stream)
    monkeypatch.setattr(pushed, "DELETE_TIMEOUT_SECONDS", 0.0)

    with pytest.raises(ApiError) as raised:
        await host.pushed.delete(stream.name)

    assert raised.value.code == "busy"
    assert stream.name in await host.pushed.list_streams()
    monkeypatch.undo()
    await host.pushed.delete(stream.name)
    assert stream.name not in await host.pushed.list_streams()


async def test_a_new_stream_has_no_frames_of_a_deleted_one_with_its_name(host: Host) -> None:
    stream = make_stream()
    await host.pushed.put(stream)
    await host.pushed.delete(stream.name)
    # As by an instance that does not know yet that it is deleted.
    await host.pushed.push(stream, [NewFrame({"n": 1}, NOW)], NOW)

    await host.pushed.put(stream)

    assert (await host.store.read(stream)).frame is None
    found = await host.history.read(stream.name, NOW - SECOND, NOW + SECOND, 10)
    assert found.points == []


async def test_the_stream_of_a_producer_cannot_be_defined_or_pushed_to(server: Server) -> None:
    refused = (409, "stream_has_producer")
    assert await server.code("PUT", "stock-prices", {"title": "Mine"}) == refused
    assert await server.code("POST", "stock-prices", {"data": {}}) == refused
    assert await server.code("DELETE", "stock-prices") == refused


@pytest.mark.parametrize("wrong", ["Tide", "1st", "t" * 65, "ti.de", "tide%20"])
async def test_an_invalid_name_is_rejected(server: Server, wrong: str) -> None:
    assert await server.code("PUT", wrong, {"title": "Tide"}) == (400, "invalid_stream")


async def test_an_unknown_stream_is_not_found(server: Server, name: str) -> None:
    assert await server.code("POST", name, {"data": {}}) == (404, "unknown_stream")


async def test_without_a_key_nothing_is_defined_or_pushed(
    second: Part, http: aiohttp.ClientSession, name: str
) -> None:
    url = f"{second.url}/api/streams/{name}"
    async with http.put(url, json={"title": "Tide without a key"}) as response:
        assert response.status == 401
    async with http.post(url, json={"data": {}}) as response:
        assert response.status == 401
