"""Streams without a server: messages of the publisher and the subscribers."""

import json
from typing import Any

import pytest
from webpubsub_emulator import ManualClock
from webpubsub_emulator.client_messages import ClientMessageHandler
from webpubsub_emulator.hub import Connection, Hub
from webpubsub_emulator.payload import Payload
from webpubsub_emulator.protocol import JSON_PROTOCOL
from webpubsub_emulator.upstream import EventFailedError


class RecordingWriter:
    """A writer that records its frames."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self._frames.append(frame)

    def close(self, code: int, reason: str = "") -> None:
        self._frames.append(json.dumps({"closed": code, "reason": reason}).encode())

    def abort(self) -> None: ...

    def received(self) -> list[dict[str, Any]]:
        """Return the messages since the last call."""
        frames, self._frames = self._frames, []
        return [json.loads(frame[frame.index(b"{") :]) for frame in frames]


class FailingEventHandler:
    """An event handler without handlers."""

    async def send_user_event(
        self, connection: Connection, name: str, payload: Payload
    ) -> Payload | None:
        raise EventFailedError(f"no handler for {name} of {connection.id}: {payload.data_type}")


class StreamScenario:
    """ann publishes to the group news, which bob subscribes to."""

    def __init__(self, *roles: str) -> None:
        self.clock = ManualClock()
        self.hub = Hub("chat", clock=self.clock.monotonic)
        self.ann, self.bob = RecordingWriter(), RecordingWriter()
        self.publisher = Connection("chat", user_id="ann", protocol=JSON_PROTOCOL, roles=roles)
        self.hub.add_connection(self.publisher, self.ann)
        self.hub.add_connection(Connection("chat", protocol=JSON_PROTOCOL), self.bob, ["news"])
        self._client = ClientMessageHandler(self.hub, self.publisher, FailingEventHandler())

    async def send(self, **message: Any) -> list[dict[str, Any]]:
        """Send a message; return what ann receives."""
        await self._client.handle(json.dumps(message))
        return self.ann.received()

    async def start_stream(self, **more: Any) -> list[dict[str, Any]]:
        stream = {"streamId": "s", **more}
        return await self.send(type="sendToGroup", group="news", stream=stream)

    async def write(self, number: int, text: str = "x") -> list[dict[str, Any]]:
        return await self.send(
            type="streamData", streamId="s", streamSequenceId=number, dataType="text", data=text
        )


def stream_ack(expected: int) -> list[dict[str, Any]]:
    return [{"type": "streamAck", "streamId": "s", "expectedSequenceId": expected}]


@pytest.fixture
def scenario() -> StreamScenario:
    return StreamScenario("webpubsub.sendToGroup")


async def test_stream_parts_are_published_in_order_and_acknowledged(
    scenario: StreamScenario,
) -> None:
    assert await scenario.start_stream() == stream_ack(1)
    assert await scenario.write(1, "one") == stream_ack(2)
    assert await scenario.write(2, "two") == stream_ack(3)

    assert [(m["data"], m["stream"]) for m in scenario.bob.received()] == [
        ("one", {"streamId": "s", "streamSequenceId": 1}),
        ("two", {"streamId": "s", "streamSequenceId": 2}),
    ]


async def test_repeated_part_is_acknowledged_but_not_published(scenario: StreamScenario) -> None:
    await scenario.start_stream()
    await scenario.write(1)
    assert await scenario.write(1) == stream_ack(2)

    assert len(scenario.bob.received()) == 1


async def test_gap_is_rejected_with_the_expected_sequence_id(scenario: StreamScenario) -> None:
    await scenario.start_stream()

    [nack] = await scenario.write(2)

    assert (nack["type"], nack["name"]) == ("streamNack", "InvalidSequenceId")
    assert nack["expectedSequenceId"] == 1
    assert scenario.bob.received() == []


async def test_stream_end_has_no_data_and_can_have_an_error(scenario: StreamScenario) -> None:
    await scenario.start_stream()
    await scenario.write(1)
    scenario.bob.received()
    error = {"message": "no more", "userErrorCode": "tired"}

    event = await scenario.send(type="streamEnd", streamId="s", error=error)

    assert event == [{"type": "streamClosed", "streamId": "s"}]
    [end] = scenario.bob.received()
    assert (end["dataType"], end["data"]) == ("text", "")
    assert end["stream"] == {
        "streamId": "s",
        "streamSequenceId": 2,
        "endOfStream": True,
        "error": {"name": "UserError", **error},
    }
    assert await scenario.start_stream() == stream_ack(1)


async def test_idle_stream_ends_for_publisher_and_subscribers(scenario: StreamScenario) -> None:
    await scenario.start_stream(idleTimeoutMs=1000)
    scenario.clock.advance(0.9)
    assert await scenario.send(type="streamData", streamId="s") == []
    scenario.clock.advance(0.9)
    scenario.hub.expire()
    assert scenario.bob.received() == []
    scenario.clock.advance(0.2)
    scenario.hub.expire()

    assert scenario.bob.received()[0]["stream"]["error"] == {"name": "IdleTimeout"}
    [closed] = scenario.ann.received()
    assert (closed["type"], closed["error"]["name"]) == ("streamClosed", "IdleTimeout")
    [unknown] = await scenario.write(1)
    assert unknown["error"]["name"] == "StreamNotFound"


async def test_disconnected_publisher_cancels_its_streams(scenario: StreamScenario) -> None:
    await scenario.start_stream()

    scenario.hub.remove_connection(scenario.publisher, "gone")

    assert scenario.bob.received()[0]["stream"]["error"] == {"name": "Cancelled"}


async def test_stream_needs_the_role_and_a_unique_id(scenario: StreamScenario) -> None:
    await scenario.start_stream()
    [twice] = await scenario.start_stream()
    [forbidden] = await StreamScenario().start_stream()

    assert twice["error"]["name"] == "BadRequest"
    assert forbidden["error"]["name"] == "Forbidden"


async def test_no_echo_stream_is_not_sent_to_its_publisher(scenario: StreamScenario) -> None:
    scenario.hub.add_to_group(scenario.publisher, "news")
    stream = {"streamId": "s"}
    await scenario.send(type="sendToGroup", group="news", noEcho=True, stream=stream)

    assert await scenario.write(1) == stream_ack(2)
    assert len(scenario.bob.received()) == 1


async def test_ack_cache_holds_the_last_thousand_ids(scenario: StreamScenario) -> None:
    for number in range(1001):
        [done] = await scenario.send(type="sendToGroup", group="x", data=1, ackId=number)
        assert done["success"]

    [evicted] = await scenario.send(type="sendToGroup", group="x", data=1, ackId=0)
    [cached] = await scenario.send(type="sendToGroup", group="x", data=1, ackId=1000)

    assert evicted["success"]
    assert cached["error"]["name"] == "Duplicate"


async def test_event_without_handler_fails_and_keeps_the_connection(
    scenario: StreamScenario,
) -> None:
    [failed] = await scenario.send(type="event", event="say", data=1, ackId=1)

    assert failed["error"] == {"name": "InternalServerError", "message": "Internal server error"}
    assert await scenario.send(type="ping") == [{"type": "pong"}]
