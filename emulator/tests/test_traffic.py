"""The traffic recorder without a browser: its limits, redaction and access."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from running_emulator import (
    GROUP_ROLES,
    JSON,
    RELIABLE,
    RunningEmulator,
    handler_settings,
    run_emulator,
    run_event_handler,
)
from webpubsub_emulator.traffic import (
    MAX_ENTRIES,
    MAX_QUEUED_BYTES,
    MAX_RECORDED_BYTES,
    MAX_SHOWN_CHARACTERS,
    Traffic,
)


def decode(entries: list[tuple[int, bytes]]) -> list[dict[str, Any]]:
    return [json.loads(encoded) for _, encoded in entries]


def entries_of(emulator: RunningEmulator, kind: str) -> list[dict[str, Any]]:
    recorded = decode(emulator.server.traffic.entries_after(0))
    return [entry for entry in recorded if entry["kind"] == kind]


@pytest.mark.parametrize("size", [10, 5_000, 200_000])
def test_recorded_entries_are_bounded_in_number_and_bytes(size: int) -> None:
    traffic = Traffic()

    for number in range(6_000 if size == 10 else 2_000):
        traffic.record("rest", number=number, data="x" * size)

    entries = traffic.entries_after(0)
    assert len(entries) <= MAX_ENTRIES
    assert sum(len(encoded) for _, encoded in entries) <= MAX_RECORDED_BYTES
    assert decode(entries)[-1]["number"] == number


async def test_slow_subscriber_loses_the_oldest_entries_and_counts_them() -> None:
    traffic = Traffic()
    with traffic.subscribe() as subscriber:
        for number in range(10_000):
            traffic.record("frame", number=number, data="x" * 1000)
        batch = await anext(subscriber.batches())

    assert sum(len(encoded) for _, encoded in batch) <= MAX_QUEUED_BYTES
    assert subscriber.lost == 10_000 - len(batch) > 0
    assert decode(batch)[-1]["number"] == 9_999


async def test_feed_continues_after_an_id_and_restarts_after_an_unknown_id() -> None:
    traffic = Traffic()
    for number in range(5):
        traffic.record("rest", number=number)

    with traffic.subscribe(after_id=3) as continued, traffic.subscribe(after_id=900) as restarted:
        assert [entry["number"] for entry in decode(await anext(continued.batches()))] == [3, 4]
        assert len(await anext(restarted.batches())) == 5


async def test_frames_are_recorded_only_while_a_viewer_is_attached() -> None:
    async with run_emulator() as emulator:
        ann = await emulator.connect("ann", roles=GROUP_ROLES)
        await ann.send(type="joinGroup", group="g", ackId=1)
        await ann.receive()
        assert entries_of(emulator, "frame") == []

        with emulator.server.traffic.subscribe():
            await ann.send(type="sendToGroup", group="g", data="é" * 5000, ackId=2)
            await ann.receive()
            await ann.receive()
            frames = entries_of(emulator, "frame")
        await ann.assert_no_message()

        assert [frame["direction"] for frame in frames] == ["in", "out", "out"]
        assert frames[0]["bytes"] > 10_000
        assert all(len(frame["data"]) <= MAX_SHOWN_CHARACTERS + 1 for frame in frames)
        assert len(entries_of(emulator, "frame")) == len(frames)


async def test_tokens_and_keys_are_not_recorded() -> None:
    async with run_event_handler() as app:
        settings = handler_settings(f"{app.url}?code=secret-function-key")
        async with run_emulator(settings=settings) as emulator:
            with emulator.server.traffic.subscribe():
                url = emulator.url("ann")
                ann = await emulator.open(url, RELIABLE)
                await emulator.call(emulator.service().send_to_all, "hi")
                await ann.receive()

                recorded = json.dumps(decode(emulator.server.traffic.entries_after(0)))
                assert "secret-function-key" not in recorded
                assert ann.connected["reconnectionToken"] not in recorded
                assert url.partition("access_token=")[2] not in recorded
                assert emulator.server.service.keys.primary not in recorded
                assert "reconnectionToken" in recorded


async def test_failed_checks_are_recorded() -> None:
    async with run_event_handler() as app, run_emulator() as emulator:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await emulator.open(f"{emulator.server.endpoint}/client/hubs/chat?access_token=x")
        ann = await emulator.connect("ann")
        await ann.send(type="event", event="say", data=1, ackId=1)
        await ann.receive()
        app.allowed_origin = "elsewhere.example"
        emulator.server.configure(handler_settings(app.url, system=()))
        await ann.send(type="event", event="say", data=1, ackId=2)
        await ann.receive()
        bad_key = {"Authorization": "Bearer x"}
        url = f"{emulator.server.endpoint}/api/hubs/chat/:send"
        async with emulator.http.post(url, data=b"x", headers=bad_key):
            pass

        assert entries_of(emulator, "rejected")[0]["failure"].startswith("token:")
        upstream = entries_of(emulator, "upstream")
        assert upstream[0]["failure"] == "no event handler for this event"
        assert upstream[1]["failure"] == "the URL failed its validation"
        [validation] = entries_of(emulator, "validation")
        assert "elsewhere.example" in validation["failure"]
        assert entries_of(emulator, "rest")[0]["failure"].startswith("token:")


async def test_disabled_viewer_records_nothing_and_has_no_pages() -> None:
    async with run_emulator(viewer=False) as emulator:
        await emulator.connect("ann")
        for path in ("/", "/viewer", "/viewer/state", "/viewer/feed"):
            async with emulator.http.get(emulator.server.endpoint + path) as response:
                assert response.status == 404

        assert emulator.server.traffic.entries_after(0) == []
        assert emulator.server.viewer_url is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Host": "rebound.example:8080"},
        {"Host": "localhost.example"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize("path", ["/viewer", "/viewer/state", "/viewer/feed"])
async def test_viewer_rejects_other_host_names_and_origins(
    path: str, headers: dict[str, str]
) -> None:
    async with run_emulator() as emulator:
        url = emulator.server.endpoint + path
        async with emulator.http.get(url, headers=headers) as response:
            assert response.status == 403


async def test_viewer_page_has_a_strict_policy_and_loads_nothing_else() -> None:
    async with run_emulator() as emulator:
        response = await emulator.http.get(f"{emulator.server.endpoint}/")
        page = await response.text()
        policy = response.headers["Content-Security-Policy"]

    assert response.url.path == "/viewer"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert " src=" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert "innerHTML" not in page


async def test_open_feed_does_not_delay_the_shutdown() -> None:
    async with aiohttp.ClientSession() as http:
        async with run_emulator() as emulator:
            feed = await http.get(f"{emulator.server.endpoint}/viewer/feed")
            await emulator.connect("ann", protocol=JSON)
            assert (await feed.content.readline()).startswith(b"id: 1")
            stopped_at = asyncio.get_running_loop().time()
        duration = asyncio.get_running_loop().time() - stopped_at

        assert duration < 10
        await feed.read()  # ends without an error
