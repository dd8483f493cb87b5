"""The whole service: its keys, its name and its hubs."""

import time
from collections.abc import Callable

from webpubsub_emulator.hub import RETENTION_SECONDS, Connection, Hub
from webpubsub_emulator.tokens import Keys


class Service:
    """Hubs come into being when somebody first names them, as in Azure; names ignore case."""

    def __init__(
        self,
        keys: Keys,
        endpoint: str,
        *,
        farewell: Callable[[Connection, str], None] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
        retention: float = RETENTION_SECONDS,
    ) -> None:
        self.keys = keys
        self.endpoint = endpoint
        self.clock = clock
        self.hubs: dict[str, Hub] = {}
        self._farewell = farewell
        self._retention = retention

    def hub(self, name: str) -> Hub:
        name = name.lower()
        if name not in self.hubs:
            self.hubs[name] = Hub(name, self._farewell, clock=self.clock, retention=self._retention)
        return self.hubs[name]

    def hosts(self, called: str) -> tuple[str, str]:
        """A token is for the address that was called, or for the one that was announced."""
        return called, self.endpoint.partition("://")[2]

    def connection_count(self) -> int:
        return sum(len(hub.connections) for hub in self.hubs.values())

    def sweep(self) -> None:
        for hub in tuple(self.hubs.values()):
            hub.sweep()
