"""The parts of a run: storage, service and two hosts, with proxies and a balancer between them."""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import aiohttp

from local.parts import (
    ACCESS_KEY,
    EMULATOR_SOURCE,
    Part,
    environment_of,
    free_ports,
    start_functions,
    start_tables,
    write_event_handlers,
)
from realtime.settings import Settings
from tests.faults.network import NONE, HttpProxy, SocketProxy
from tests.instances import Instance
from tests.strict import QUIET

SETTINGS = QUIET | {
    "MESSAGES_PER_MINUTE": "60000",
    "JOINS_PER_MINUTE": "60000",
    "NEGOTIATES_PER_MINUTE": "60000",
    "GUESTS_PER_MINUTE": "60000",
    "CONNECTIONS_PER_USER": "1000",
    "CONNECTS_PER_MINUTE": "60000",
}
RECONCILE = "/admin/functions/reconcile_presence"


class World:
    """Everything runs on this machine. Clients reach the app through `balancer`, the service
    through `sockets`; the hosts reach the storage and the service through proxies."""

    def __init__(self, folder: Path, chance: Random, hosts: int = 2) -> None:
        self._folder = folder
        self._host_count = hosts
        self.chance = chance
        self.hosts: list[Part] = []
        self.tables: Part
        self.service: Part
        self.balancer = HttpProxy([], chance)
        self.storage_proxy: HttpProxy
        self.service_proxy: HttpProxy
        self.sockets: SocketProxy
        self.environment: dict[str, str] = {}

    @property
    def url(self) -> str:
        """The address of the app."""
        return self.balancer.url

    async def start(self) -> None:
        tables_port, service_port = free_ports(2)
        self.tables = await asyncio.to_thread(start_tables, tables_port, self._folder / "tables")
        self.storage_proxy = HttpProxy([f"http://127.0.0.1:{tables_port}"], self.chance)
        self.service_proxy = HttpProxy([f"http://localhost:{service_port}"], self.chance)
        self.sockets = SocketProxy(service_port)
        for one in (self.balancer, self.storage_proxy, self.service_proxy):
            await one.start()
        await self.sockets.start()
        self.service = self._make_service(service_port)
        await asyncio.to_thread(self.service.start)
        self.environment = {
            **SETTINGS,
            **environment_of(self.service_proxy.url, self.storage_proxy.url),
            "WEBPUBSUB_CLIENT_ENDPOINT": self.sockets.url,
        }
        await asyncio.to_thread(self.tables.wait)
        await asyncio.to_thread(self.service.wait)
        for _ in range(self._host_count):
            await self.add_host()

    def _make_service(self, port: int) -> Part:
        """The emulator; the balancer gets its events."""
        balancer_port = int(self.balancer.url.rpartition(":")[2])
        handlers = write_event_handlers(self._folder / "webpubsub.json", balancer_port)
        command = [
            sys.executable, "-m", "webpubsub_emulator", "--port", str(port), "--control",
            "--access-key", ACCESS_KEY, "--settings", str(handlers),
            "--endpoint", self.service_proxy.url,
        ]  # fmt: skip
        source = {"PYTHONPATH": str(EMULATOR_SOURCE)}
        return Part("Web PubSub", f"http://localhost:{port}", "/api/health", command, source)

    async def add_host(self) -> Part:
        host = await asyncio.to_thread(start_functions, free_ports(1)[0], self.environment)
        await asyncio.to_thread(host.wait)
        self.hosts.append(host)
        self.balancer.targets.append(host.url)
        return host

    async def remove_host(self) -> None:
        host = self.hosts.pop()
        self.balancer.targets.remove(host.url)
        await asyncio.to_thread(host.stop)

    async def stop(self) -> None:
        for part in [*self.hosts, self.service, self.tables]:
            await asyncio.to_thread(part.stop)
        for one in (self.balancer, self.storage_proxy, self.service_proxy, self.sockets):
            await one.stop()

    # --- faults -----------------------------------------------------------------------------

    async def kill(self, part: Part) -> None:
        """End a part without notice, and start it again."""
        await asyncio.to_thread(part.kill)
        await self.start_again(part)

    async def restart(self, part: Part) -> None:
        """End a part as Ctrl-C does, so that it stores its data, and start it again."""
        await asyncio.to_thread(part.stop)
        await self.start_again(part)

    async def start_again(self, part: Part) -> None:
        await asyncio.to_thread(part.start)
        await asyncio.to_thread(part.wait)

    async def drop_frames(self, count: int) -> None:
        """The service loses the next frames to its clients."""
        await self.control("faults", {"target": "frame", "action": "drop", "count": count})

    async def control(self, command: str, body: dict[str, object]) -> None:
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self.service.url}/emulator/{command}", json=body) as response,
        ):
            response.raise_for_status()

    async def heal(self) -> None:
        """No fault any more, and every part answers."""
        for proxy in (self.balancer, self.storage_proxy, self.service_proxy):
            proxy.disturbance = NONE
        self.sockets.restore()
        for part in (self.tables, self.service, *self.hosts):
            if part.process.poll() is not None:
                await asyncio.to_thread(part.start)
            await asyncio.to_thread(part.wait)

    async def reconcile(self) -> None:
        """Run the timer that reconciles presence and publishes heads, as each minute."""
        async with (
            aiohttp.ClientSession() as http,
            http.post(self.hosts[0].url + RECONCILE, json={}) as response,
        ):
            response.raise_for_status()

    # --- without proxies --------------------------------------------------------------------

    @property
    def direct_settings(self) -> Settings:
        """The way to storage and service on which nothing fails."""
        values = environment_of(self.service.url, self.tables.url.replace("localhost", "127.0.0.1"))
        return Settings(
            tables_connection_string=values["TABLES_CONNECTION_STRING"],
            webpubsub_connection_string=values["WEBPUBSUB_CONNECTION_STRING"],
        )

    @contextlib.asynccontextmanager
    async def reader(self) -> AsyncIterator[Instance]:
        """An instance inside this process that has cached nothing."""
        one = Instance(self.direct_settings)
        try:
            yield one
        finally:
            await one.close()


@contextlib.asynccontextmanager
async def open_world(seed: int, hosts: int = 2) -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), Random(seed), hosts)
        try:
            await world.start()
            yield world
        finally:
            await world.stop()
