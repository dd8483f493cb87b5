"""People for the tests: each negotiates, connects and receives, as a browser does."""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp

from tests.logs import add_private_texts

SECOND = 1.0
"""The unit of all deadlines; a slow machine may stretch it."""

PLAIN = "json.webpubsub.azure.v1"
RELIABLE = "json.reliable.webpubsub.azure.v1"

Frame = dict[str, Any]


class User:
    """Somebody with a session, who may connect several times and ask over HTTP."""

    def __init__(self, http: aiohttp.ClientSession, url: str, admission: dict[str, Any]) -> None:
        self._http = http
        self._url = url
        self.id: str = admission["user_id"]
        self.session: str = admission["session"]
        add_private_texts(self.id, self.session, admission["token"])

    @classmethod
    async def create(cls, http: aiohttp.ClientSession, url: str, name: str) -> Self:
        async with http.post(f"{url}/api/negotiate", json={"user_id": name}) as answer:
            assert answer.status == 200, await answer.text()
            return cls(http, url, await answer.json())

    def request(self, method: str, path: str, **options: Any) -> Any:
        """A request with this person's session, as it is: the answer is entered and read."""
        headers = {"Authorization": f"Bearer {self.session}"}
        return self._http.request(method, f"{self._url}{path}", headers=headers, **options)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """A request with this person's session: status and JSON body."""
        async with self.request(method, path, **options) as answer:
            body = await answer.json() if answer.content_type == "application/json" else None
            return answer.status, body

    async def get(self, path: str) -> Any:
        status, body = await self.ask("GET", path)
        assert status == 200, body
        return body

    async def negotiate(self, **wish: Any) -> Any:
        status, body = await self.ask("POST", "/api/negotiate", json=wish)
        assert status == 200, body
        add_private_texts(body["token"], body["session"])
        return body

    @asynccontextmanager
    async def connect(
        self, *rooms: str, subprotocol: str = RELIABLE, **wish: Any
    ) -> AsyncIterator["Connection"]:
        """One browser tab: connected, and in these rooms."""
        admission = await self.negotiate(**wish)
        connection = await Connection.open(self._http, admission["url"], subprotocol)
        try:
            for room in rooms:
                await connection.join(room)
            yield connection
        finally:
            await connection.close()


class Connection:
    """One WebSocket; what it receives can be waited for, in any order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._acks = itertools.count(1)
        self._news = asyncio.Condition()
        self.received: list[Frame] = []
        self._taken: set[int] = set()
        self.id = ""
        self.token = ""
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, http: aiohttp.ClientSession, url: str, subprotocol: str) -> Self:
        connection = cls(await http.ws_connect(url, protocols=[subprotocol]))
        hello = await connection.receive(event="connected")
        connection.id = hello["connectionId"]
        connection.token = hello.get("reconnectionToken", "")
        return connection

    async def _listen(self) -> None:
        last = 0
        async for message in self._socket:
            frame = message.json()
            if sequence := frame.get("sequenceId"):
                last = max(last, sequence)
                await self._socket.send_json({"type": "sequenceAck", "sequenceId": last})
            async with self._news:
                self.received.append(frame["data"] if frame["type"] == "message" else frame)
                self._news.notify_all()

    async def receive(self, within: float = 10, **what: Any) -> Frame:
        """The next frame, not waited for before, whose members are these."""
        return await self.receive_where(
            lambda frame: all(frame.get(name) == value for name, value in what.items()),
            within=within,
            what=what,
        )

    async def receive_where(
        self, fits: Callable[[Frame], bool], *, within: float = 10, what: object = "a frame"
    ) -> Frame:
        """The next frame, not waited for before, that fits."""

        def found() -> int | None:
            fresh = (n for n in range(len(self.received)) if n not in self._taken)
            return next((n for n in fresh if fits(self.received[n])), None)

        async with self._news:
            try:
                async with asyncio.timeout(within * SECOND):
                    await self._news.wait_for(lambda: found() is not None)
            except TimeoutError:
                raise AssertionError(f"expected {what}, received {self.received[-20:]}") from None
            place = found()
            assert place is not None
            self._taken.add(place)
            return self.received[place]

    async def send(self, event: str, data: Any, data_type: str = "json") -> Frame:
        """Send an event; the service's ack for it."""
        ack = next(self._acks)
        await self._socket.send_json(
            {"type": "event", "event": event, "ackId": ack, "dataType": data_type, "data": data}
        )
        return await self.receive(type="ack", ackId=ack, within=30)

    async def command(self, frame: Frame) -> None:
        """Send a frame of the service's own protocol, as it is."""
        await self._socket.send_json(frame)

    async def join(self, room: str, **position: Any) -> Frame:
        await self.send("join", {"room": room, **position})
        return await self.receive_where(
            lambda frame: frame["type"] in {"joined", "error"} and frame.get("room") == room,
            what=f"joined {room}",
        )

    async def send_message(self, room: str, content: str, client_id: str = "") -> str:
        """Say something and wait for the acknowledgement; the message's id."""
        client_id = client_id or uuid.uuid4().hex
        add_private_texts(content)
        ack = await self.send("message", {"room": room, "content": content, "id": client_id})
        assert ack["success"], ack
        return client_id

    async def send_rejected(self, event: str, data: Any, data_type: str = "json") -> Frame:
        """Send an event that is refused; the refusal."""
        await self.send(event, data, data_type)
        return await self.receive(type="error", event=event)

    def texts(self, room: str) -> list[tuple[int, str]]:
        """Every message received of a room so far, as it came: seq and content."""
        found = []
        for frame in self.received:
            if frame.get("type") == "message" and frame["room"] == room:
                found.append((frame["seq"], frame["content"]))
            if frame.get("type") == "messages" and frame["room"] == room:
                found += [(entry["seq"], entry["content"]) for entry in frame["messages"]]
        return found

    async def closed(self) -> None:
        """The service has ended this connection."""
        await self._listening

    async def close(self) -> None:
        """Go for good."""
        await self._socket.close(code=1000)
        self._listening.cancel()
