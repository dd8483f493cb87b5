"""Do the steps of a listener, with an event loop or without."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any, Protocol, TypeVar

from townsquare_client.errors import ApiError, ConnectionFailedError
from townsquare_client.listener import Call, Join, Open, Receive, Steps, Wait
from townsquare_client.log_reader import RoomEvent
from townsquare_client.operations import Request
from townsquare_client.sockets import AsyncSocket, Socket

T = TypeVar("T")

SILENCE_SECONDS = 150.0
"""The app sends the position of a room about once a minute: a socket that is silent is dead."""


class SyncClient(Protocol):
    """What a listener needs of `Townsquare`."""

    def call(self, request: Request[T]) -> T: ...
    def with_session(self, session: str) -> "SyncClient": ...


class AsyncClient(Protocol):
    """What a listener needs of `AsyncTownsquare`."""

    async def call(self, request: Request[T]) -> T: ...
    def with_session(self, session: str) -> "AsyncClient": ...


def drive(client: SyncClient, steps: Steps, sleep: Callable[[float], None]) -> Iterator[RoomEvent]:
    """Does the steps without an event loop."""
    with ExitStack() as stack:
        socket: Socket | None = None
        received: Any = None
        error: Exception | None = None
        while True:
            step = steps.throw(error) if error else steps.send(received)
            received = error = None
            try:
                match step:
                    case RoomEvent():
                        yield step
                    case Call(request, session):
                        caller = client.with_session(session) if session else client
                        received = caller.call(request)
                    case Open(url):
                        stack.close()
                        socket = Socket(url)
                        stack.callback(socket.close)
                        socket.open()
                    case Join(room) if socket:
                        socket.send("join", {"room": room})
                    case Receive() if socket:
                        received = socket.receive(SILENCE_SECONDS)
                    case Wait(seconds):
                        stack.close()
                        sleep(seconds)
            except (ApiError, ConnectionFailedError) as raised:
                error = raised


async def drive_async(
    client: AsyncClient, steps: Steps, sleep: Callable[[float], Awaitable[None]]
) -> AsyncIterator[RoomEvent]:
    """Does the steps on an event loop."""
    async with AsyncExitStack() as stack:
        socket: AsyncSocket | None = None
        received: Any = None
        error: Exception | None = None
        while True:
            step = steps.throw(error) if error else steps.send(received)
            received = error = None
            try:
                match step:
                    case RoomEvent():
                        yield step
                    case Call(request, session):
                        caller = client.with_session(session) if session else client
                        received = await caller.call(request)
                    case Open(url):
                        await stack.aclose()
                        socket = AsyncSocket(url)
                        stack.push_async_callback(socket.close)
                        await socket.open()
                    case Join(room) if socket:
                        await socket.send("join", {"room": room})
                    case Receive() if socket:
                        received = await socket.receive(SILENCE_SECONDS)
                    case Wait(seconds):
                        await stack.aclose()
                        await sleep(seconds)
            except (ApiError, ConnectionFailedError) as raised:
                error = raised
