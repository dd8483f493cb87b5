"""Several instances of the app behind a balancer, with a storage at a distance."""

import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from benchmarks.servers import SETTINGS
from local.parts import (
    ROOT,
    Part,
    environment_of,
    free_ports,
    start_functions,
    start_tables,
    start_webpubsub,
    stop_all,
    write_event_handlers,
)

NO_TIMERS = {
    f"AzureWebJobs.{name}.Disabled": "true"
    for name in ("run_streams", "reconcile_presence", "purge_history")
}


@dataclass
class Measured:
    """What has happened between two readings: requests to the storage, and the machine's load."""

    transactions: int
    conflicts: int
    reads: int
    single_writes: int
    processor: float


class Cluster:
    """The running parts. `url` is the balancer's."""

    def __init__(
        self, http: aiohttp.ClientSession, port: int, control: int, environment: Mapping[str, str]
    ) -> None:
        self._http = http
        self.port = port
        self._control = control
        self.environment = environment
        self.url = f"http://127.0.0.1:{port}"

    async def set_instances(self, count: int) -> None:
        await self._request("PUT", f"{self.url}/balancer/{count}")

    async def set_distance(self, milliseconds: float) -> None:
        """The time that a request and its answer are on the way, together."""
        await self._request("PUT", f"http://127.0.0.1:{self._control}/{milliseconds / 2}")

    async def read_counts(self) -> dict[str, int]:
        psutil.cpu_percent()
        async with self._http.get(f"http://127.0.0.1:{self._control}/") as response:
            counts: dict[str, int] = await response.json(content_type=None)
            return counts

    async def measure(self, before: Mapping[str, int]) -> Measured:
        """What has happened since `read_counts`."""
        processor = psutil.cpu_percent()
        after = await self.read_counts()
        return Measured(**{name: after[name] - before[name] for name in after}, processor=processor)

    async def _request(self, method: str, url: str) -> None:
        async with self._http.request(method, url) as response:
            response.raise_for_status()


@asynccontextmanager
async def start_cluster(
    instances: int, concurrency: int, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Cluster]:
    """Start instances; `Cluster.set_instances` sets how many of them are used."""
    balancer, control, proxy, tables, webpubsub, *ports = free_ports(5 + instances)
    parts: list[Part] = []
    with tempfile.TemporaryDirectory() as folder:
        handlers = write_event_handlers(Path(folder) / "webpubsub.json", balancer)
        try:
            parts.append(start_tables(tables))
            parts.append(start_webpubsub(webpubsub, handlers))
            parts.append(_start("The proxy", proxy, [proxy, control, tables]))
            parts.append(_start("The balancer", balancer, [balancer, *ports]))
            environment = environment_of(parts[1].url, parts[2].url)
            app = {**SETTINGS, "HTTP_CONCURRENCY": str(concurrency), **(settings or {})}
            for port in ports:
                # The timers run on one instance, as they do in Azure.
                timers = {} if port == ports[0] else NO_TIMERS
                parts.append(start_functions(port, app | environment | timers, ROOT))
                if port == ports[0]:
                    parts[-1].wait()  # It creates what all of them use.
            for part in parts:
                part.wait()
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as http:
                yield Cluster(http, balancer, control, environment)
        finally:
            stop_all(reversed(parts))


def _start(name: str, port: int, arguments: list[int]) -> Part:
    module = f"benchmarks.instances_{name.rpartition(' ')[2]}"
    command = [sys.executable, "-m", module, *map(str, arguments)]
    part = Part(name, f"http://127.0.0.1:{port}", "/", command)
    part.start()
    return part
