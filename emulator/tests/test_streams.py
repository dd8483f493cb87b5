"""Streams of numbered pieces, without a server: what the publisher and the listeners are told."""

import json
from typing import Any

import pytest
from running_emulator import Clock
from webpubsub_emulator.client_messages import Client
from webpubsub_emulator.event_handlers import EventFailedError
from webpubsub_emulator.hub import Connection, Hub
from webpubsub_emulator.payload import Payload
from webpubsub_emulator.protocol import JSON_PROTOCOL


class Wire:
    """A socket that remembers what was written to it."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self._frames.append(frame)

    def close(self, code: int, reason: str = "") -> None:
        self._frames.append(json.dumps({"closed": code, "reason": reason}).encode())

    def abort(self) -> None: ...

    def heard(self) -> list[dict[str, Any]]:
        """What arrived since this was last asked."""
        frames, self._frames = self._frames, []
        return [json.loads(frame[frame.index(b"{") :]) for frame in frames]


class Nobody:
    """An application that takes no events."""

    async def user_event(
        self, connection: Connection, name: str, payload: Payload
    ) -> Payload | None:
        raise EventFailedError(f"nobody takes {name} of {connection.id}: {payload.kind}")


class Room:
    """ann publishes to the group news, bob listens."""

    def __init__(self, *roles: str) -> None:
        self.clock = Clock()
        self.hub = Hub("chat", clock=self.clock)
        self.ann, self.bob = Wire(), Wire()
        self.publisher = Connection("chat", user_id="ann", protocol=JSON_PROTOCOL, roles=roles)
        self.hub.admit(self.publisher, self.ann)
        self.hub.admit(Connection("chat", protocol=JSON_PROTOCOL), self.bob, ["news"])
        self._client = Client(self.hub, self.publisher, Nobody())

    async def ann_says(self, **message: Any) -> list[dict[str, Any]]:
        """Returns what ann is told."""
        await self._client.hear(json.dumps(message))
        return self.ann.heard()

    async def ann_starts(self, **more: Any) -> list[dict[str, Any]]:
        stream = {"streamId": "s", **more}
        return await self.ann_says(type="sendToGroup", group="news", stream=stream)

    async def ann_writes(self, number: int, text: str = "x") -> list[dict[str, Any]]:
        return await self.ann_says(
            type="streamData", streamId="s", streamSequenceId=number, dataType="text", data=text
        )


def acknowledged(expected: int) -> list[dict[str, Any]]:
    return [{"type": "streamAck", "streamId": "s", "expectedSequenceId": expected}]


@pytest.fixture
def room() -> Room:
    return Room("webpubsub.sendToGroup")


async def test_pieces_are_published_in_order_and_acknowledged(room: Room) -> None:
    assert await room.ann_starts() == acknowledged(1)
    assert await room.ann_writes(1, "one") == acknowledged(2)
    assert await room.ann_writes(2, "two") == acknowledged(3)

    assert [(m["data"], m["stream"]) for m in room.bob.heard()] == [
        ("one", {"streamId": "s", "streamSequenceId": 1}),
        ("two", {"streamId": "s", "streamSequenceId": 2}),
    ]


async def test_a_repeated_piece_is_acknowledged_but_not_published_again(room: Room) -> None:
    await room.ann_starts()
    await room.ann_writes(1)
    assert await room.ann_writes(1) == acknowledged(2)

    assert len(room.bob.heard()) == 1


async def test_a_gap_is_refused_with_the_number_that_is_expected(room: Room) -> None:
    await room.ann_starts()

    [refusal] = await room.ann_writes(2)

    assert (refusal["type"], refusal["name"]) == ("streamNack", "InvalidSequenceId")
    assert refusal["expectedSequenceId"] == 1
    assert room.bob.heard() == []


async def test_the_end_carries_no_data_and_may_carry_an_error(room: Room) -> None:
    await room.ann_starts()
    await room.ann_writes(1)
    room.bob.heard()
    error = {"message": "no more", "userErrorCode": "tired"}

    told = await room.ann_says(type="streamEnd", streamId="s", error=error)

    assert told == [{"type": "streamClosed", "streamId": "s"}]
    [end] = room.bob.heard()
    assert (end["dataType"], end["data"]) == ("text", "")
    assert end["stream"] == {
        "streamId": "s",
        "streamSequenceId": 2,
        "endOfStream": True,
        "error": {"name": "UserError", **error},
    }
    assert await room.ann_starts() == acknowledged(1)


async def test_a_stream_that_is_silent_too_long_ends_for_all(room: Room) -> None:
    await room.ann_starts(idleTimeoutMs=1000)
    room.clock.now += 0.9
    assert await room.ann_says(type="streamData", streamId="s") == []
    room.clock.now += 0.9
    room.hub.sweep()
    assert room.bob.heard() == []
    room.clock.now += 0.2
    room.hub.sweep()

    assert room.bob.heard()[0]["stream"]["error"] == {"name": "IdleTimeout"}
    [closed] = room.ann.heard()
    assert (closed["type"], closed["error"]["name"]) == ("streamClosed", "IdleTimeout")
    [unknown] = await room.ann_writes(1)
    assert unknown["error"]["name"] == "StreamNotFound"


async def test_a_publisher_who_leaves_cancels_its_streams(room: Room) -> None:
    await room.ann_starts()

    room.hub.forget(room.publisher, "gone")

    assert room.bob.heard()[0]["stream"]["error"] == {"name": "Cancelled"}


async def test_a_stream_needs_the_role_and_a_name_of_its_own(room: Room) -> None:
    await room.ann_starts()
    [twice] = await room.ann_starts()
    [forbidden] = await Room().ann_starts()

    assert twice["error"]["name"] == "BadRequest"
    assert forbidden["error"]["name"] == "Forbidden"


async def test_a_publisher_that_wants_no_echo_hears_none_of_its_stream(room: Room) -> None:
    room.hub.join(room.publisher, "news")
    stream = {"streamId": "s"}
    await room.ann_says(type="sendToGroup", group="news", noEcho=True, stream=stream)

    assert await room.ann_writes(1) == acknowledged(2)
    assert len(room.bob.heard()) == 1


async def test_the_thousand_and_first_request_makes_the_first_one_new_again(room: Room) -> None:
    for number in range(1001):
        [done] = await room.ann_says(type="sendToGroup", group="x", data=1, ackId=number)
        assert done["success"]

    [forgotten] = await room.ann_says(type="sendToGroup", group="x", data=1, ackId=0)
    [remembered] = await room.ann_says(type="sendToGroup", group="x", data=1, ackId=1000)

    assert forgotten["success"]
    assert remembered["error"]["name"] == "Duplicate"


async def test_an_event_nobody_takes_fails_and_the_connection_stays(room: Room) -> None:
    [failed] = await room.ann_says(type="event", event="say", data=1, ackId=1)

    assert failed["error"] == {"name": "InternalServerError", "message": "Internal server error"}
    assert await room.ann_says(type="ping") == [{"type": "pong"}]
