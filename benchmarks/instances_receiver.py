"""One client of a room, who checks what it receives: everything, and in which order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from benchmarks.instances_cluster import Cluster
from realtime.azure.web_pubsub import connect_hub
from realtime.names import room_group
from realtime.settings import Settings

DEADLINE_SECONDS = 20.0


class Receiver:
    """`late` counts the frames that came after one with a higher seq."""

    def __init__(self) -> None:
        self.late = 0
        self._seqs: set[int] = set()
        self._last = 0
        self._received = asyncio.Event()

    async def run(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in socket:
            data = msgspec.json.decode(frame.data).get("data", {})
            alone = [data] if data.get("type") == "message" else []  # A heartbeat has a seq, too.
            if seqs := [one["seq"] for one in data.get("messages", alone)]:
                self.late += seqs[0] < self._last
                self._last = max(self._last, *seqs)
                self._seqs.update(seqs)
                self._received.set()

    async def wait_for_entries(self, count: int) -> None:
        """Returns when so many different entries were received. Raises TimeoutError."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(self._seqs) < count:
                self._received.clear()
                await self._received.wait()


@asynccontextmanager
async def receive(cluster: Cluster, room: str) -> AsyncIterator[Receiver]:
    """A client that is in the room's group."""
    settings = Settings(
        tables_connection_string=cluster.environment["TABLES_CONNECTION_STRING"],
        webpubsub_connection_string=cluster.environment["WEBPUBSUB_CONNECTION_STRING"],
    )
    hub = connect_hub(settings)
    try:
        access = await hub.get_client_access_token("receiver", [room_group(room)], [])
    finally:
        await hub.close()
    receiver = Receiver()
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(access.url, protocols=["json.webpubsub.azure.v1"]) as socket,
    ):
        task = asyncio.create_task(receiver.run(socket))
        try:
            yield receiver
        finally:
            task.cancel()
