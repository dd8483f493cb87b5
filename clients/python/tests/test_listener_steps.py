"""The steps of a listener that starts: in an empty room, and with frames that overtake `joined`.

No app runs here: the test gives the frames in the order that the network may give them.
"""

from typing import Any

import msgspec
import pytest
from townsquare_client import Position, RoomEvent, Townsquare
from townsquare_client.listener import Call, Receive, Steps, listen_steps
from townsquare_client.models import Connection, HistoryPage

CONNECTION = {"url": "ws://localhost/", "user_id": "ann", "name": "ann"}


@pytest.fixture
def client() -> Townsquare:
    return Townsquare("http://localhost", session="any")


def entry(seq: int) -> dict[str, Any]:
    return {
        "seq": seq,
        "id": f"id{seq}",
        "from": "bob",
        "content": f"message {seq}",
        "timestamp": "2026-11-21T10:00:00Z",
    }


def message(seq: int, epoch: str = "e1") -> dict[str, Any]:
    return {"type": "message", "room": "lobby", "epoch": epoch, **entry(seq)}


def joined(head: int, epoch: str) -> dict[str, Any]:
    return {"type": "joined", "room": "lobby", "epoch": epoch, "head": head}


class Log:
    """What the history has, and what the listener has yielded."""

    def __init__(self, epoch: str, head: int) -> None:
        self.epoch, self.head = epoch, head
        self.yielded: list[int] = []

    def page_after(self, seq: int) -> HistoryPage:
        messages = [entry(one) for one in range(seq + 1, self.head + 1)]
        page = {"epoch": self.epoch, "head": self.head, "first": 1, "more": False}
        return msgspec.convert({**page, "messages": messages}, HistoryPage)

    def run(self, steps: Steps, frames: list[dict[str, Any]]) -> None:
        """Drive the steps until they wait for a frame that does not come."""
        waiting = iter(frames)
        step = next(steps)
        while True:
            answer: Any = None
            match step:
                case RoomEvent(received):
                    self.yielded.append(received.seq)
                case Call(request) if request.path.endswith("/history"):
                    answer = self.page_after(int(dict(request.query)["after"]))
                case Call():
                    answer = msgspec.convert(CONNECTION, Connection, strict=False)
                case Receive():
                    frame = next(waiting, None)
                    if frame is None:
                        return
                    answer = msgspec.json.encode(frame)
            step = steps.send(answer)


def steps_of(client: Townsquare, after: Position | None = None) -> Steps:
    return listen_steps(client, "lobby", "ann", "Ann", after, lambda _: 0.0)


def test_a_listener_in_an_empty_room_gets_the_first_message(client: Townsquare) -> None:
    log = Log("e1", 2)

    log.run(steps_of(client), [joined(0, ""), message(1), message(2)])

    assert log.yielded == [1, 2]


def test_the_first_message_is_not_lost_when_it_comes_before_the_joins_response(
    client: Townsquare,
) -> None:
    log = Log("e1", 1)

    log.run(steps_of(client), [message(1), joined(0, "")])

    assert log.yielded == [1]


def test_a_message_that_is_newer_than_the_joins_response_is_not_lost(client: Townsquare) -> None:
    log = Log("e1", 8)

    log.run(steps_of(client), [message(8), joined(7, "e1")])

    assert log.yielded == [8]


def test_a_message_that_the_joins_response_includes_is_older_than_the_listener(
    client: Townsquare,
) -> None:
    log = Log("e1", 9)

    log.run(steps_of(client), [message(8), joined(8, "e1"), message(9)])

    assert log.yielded == [9]


def test_frames_that_a_server_publishes_are_passed_over(client: Townsquare) -> None:
    log = Log("e1", 8)
    other: list[dict[str, Any]] = [
        {"n": 1},
        {"type": 5},
        {"type": "error", "text": "none of the app's"},
        {"type": "message", "room": "lobby", "epoch": "e1"},
        {"type": "joined", "room": ["lobby"]},
    ]

    log.run(steps_of(client), [*other, joined(7, "e1"), *other, message(8)])

    assert log.yielded == [8]
