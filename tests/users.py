"""Users for the tests: each negotiates, connects, sends and receives, as a browser does."""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp

from tests.logs import add_private_texts

SECOND = 1.0
"""The unit of all timeouts, in seconds; increase it on a slow machine."""

PLAIN = "json.webpubsub.azure.v1"
RELIABLE = "json.reliable.webpubsub.azure.v1"

Frame = dict[str, Any]


class User:
    """A user with a session: opens connections and sends HTTP requests."""

    def __init__(self, http: aiohttp.ClientSession, url: str, negotiated: dict[str, Any]) -> None:
        self._http = http
        self._url = url
        self.id: str = negotiated["user_id"]
        self.session: str = negotiated["session"]
        add_private_texts(self.id, self.session, negotiated["token"])

    @classmethod
    async def create(cls, http: aiohttp.ClientSession, url: str, name: str) -> Self:
        async with http.post(f"{url}/api/negotiate", json={"user_id": name}) as response:
            assert response.status == 200, await response.text()
            return cls(http, url, await response.json())

    def request(self, method: str, path: str, **options: Any) -> Any:
        """A request with the user's session, to be used with `async with`."""
        headers = {"Authorization": f"Bearer {self.session}"}
        return self._http.request(method, f"{self._url}{path}", headers=headers, **options)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Send a request with the user's session. Returns status and JSON body."""
        async with self.request(method, path, **options) as response:
            body = await response.json() if response.content_type == "application/json" else None
            return response.status, body

    async def get(self, path: str) -> Any:
        status, body = await self.ask("GET", path)
        assert status == 200, body
        return body

    async def negotiate(self, **request: Any) -> Any:
        status, body = await self.ask("POST", "/api/negotiate", json=request)
        assert status == 200, body
        add_private_texts(body["token"], body["session"])
        return body

    @asynccontextmanager
    async def connect(
        self, *rooms: str, subprotocol: str = RELIABLE, **request: Any
    ) -> AsyncIterator["Connection"]:
        """One connection that has joined these rooms."""
        negotiated = await self.negotiate(**request)
        connection = await Connection.open(self._http, negotiated["url"], subprotocol)
        try:
            for room in rooms:
                await connection.join(room)
            yield connection
        finally:
            await connection.close()


def notices_of(frame: Frame) -> list[Frame]:
    """The notices of a `presence` frame as a `system` frame each; any other frame as it is."""
    if not isinstance(frame, dict) or frame.get("type") != "presence":
        return [frame]
    return [{"type": "system", "room": frame["room"], **change} for change in frame["changes"]]


class Connection:
    """One WebSocket connection. A test waits for its frames in any order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._acks = itertools.count(1)
        self._changed = asyncio.Condition()
        self.received: list[Frame] = []
        self._taken: set[int] = set()
        self.id = ""
        self.token = ""
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, http: aiohttp.ClientSession, url: str, subprotocol: str) -> Self:
        connection = cls(await http.ws_connect(url, protocols=[subprotocol]))
        connected = await connection.receive(event="connected")
        connection.id = connected["connectionId"]
        connection.token = connected.get("reconnectionToken", "")
        return connection

    async def _listen(self) -> None:
        last = 0
        async for message in self._socket:
            frame = message.json()
            if sequence := frame.get("sequenceId"):
                last = max(last, sequence)
                await self._socket.send_json({"type": "sequenceAck", "sequenceId": last})
            async with self._changed:
                received = frame["data"] if frame["type"] == "message" else frame
                self.received += notices_of(received)
                self._changed.notify_all()

    async def receive(self, within: float = 30, **what: Any) -> Frame:
        """The next frame with these members that no earlier call returned."""
        return await self.receive_where(
            lambda frame: all(frame.get(name) == value for name, value in what.items()),
            within=within,
            what=what,
        )

    async def receive_where(
        self, matches: Callable[[Frame], bool], *, within: float = 30, what: object = "a frame"
    ) -> Frame:
        """The next matching frame that no earlier call returned."""

        def found() -> int | None:
            fresh = (n for n in range(len(self.received)) if n not in self._taken)
            return next((n for n in fresh if matches(self.received[n])), None)

        async with self._changed:
            try:
                async with asyncio.timeout(within * SECOND):
                    await self._changed.wait_for(lambda: found() is not None)
            except TimeoutError:
                raise AssertionError(f"expected {what}, received {self.received[-20:]}") from None
            index = found()
            assert index is not None
            self._taken.add(index)
            return self.received[index]

    async def wait_until(self, is_true: Callable[[], bool], what: object) -> None:
        """Wait until a condition on the received frames is true."""
        async with self._changed:
            try:
                async with asyncio.timeout(30 * SECOND):
                    await self._changed.wait_for(is_true)
            except TimeoutError:
                raise AssertionError(f"expected {what}, received {self.received[-20:]}") from None

    async def send(self, event: str, data: Any, data_type: str = "json") -> Frame:
        """Send an event. Returns the service's ack."""
        ack = next(self._acks)
        await self._socket.send_json(
            {"type": "event", "event": event, "ackId": ack, "dataType": data_type, "data": data}
        )
        return await self.receive(type="ack", ackId=ack, within=30)

    async def command(self, frame: Frame) -> None:
        """Send a frame of the service's protocol without changes."""
        await self._socket.send_json(frame)

    async def join(self, room: str, **position: Any) -> Frame:
        await self.send("join", {"room": room, **position})
        return await self.receive_where(
            lambda frame: frame["type"] in {"joined", "error"} and frame.get("room") == room,
            what=f"joined {room}",
        )

    async def send_message(self, room: str, content: str, client_id: str = "") -> str:
        """Send a message and wait for its ack. Returns the message's id."""
        client_id = client_id or uuid.uuid4().hex
        add_private_texts(content)
        ack = await self.send("message", {"room": room, "content": content, "id": client_id})
        assert ack["success"], ack
        return client_id

    async def send_rejected(self, event: str, data: Any, data_type: str = "json") -> Frame:
        """Send an event that the app rejects. Returns the error message."""
        await self.send(event, data, data_type)
        return await self.receive(type="error", event=event)

    def texts(self, room: str) -> list[tuple[int, str]]:
        """Every message of a room received so far, in order of arrival: seq and content."""
        found = []
        for frame in self.received:
            if frame.get("type") == "message" and frame["room"] == room:
                found.append((frame["seq"], frame["content"]))
            if frame.get("type") == "messages" and frame["room"] == room:
                found += [(entry["seq"], entry["content"]) for entry in frame["messages"]]
        return found

    async def closed(self) -> None:
        """Wait until the service has closed the connection."""
        await self._listening

    async def close(self) -> None:
        """Close the connection, so that it cannot be recovered."""
        await self._socket.close(code=1000)
        self._listening.cancel()
