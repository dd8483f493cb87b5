"""The service: its access keys, its endpoint and its hubs."""

from collections.abc import Callable

from webpubsub_emulator.access_keys import AccessKeys
from webpubsub_emulator.clock import Clock
from webpubsub_emulator.connection import Connection, Deliveries, send_in_turn
from webpubsub_emulator.hub import RECOVERY_TIMEOUT_SECONDS, Hub
from webpubsub_emulator.traffic import Traffic


class Service:
    """Hubs are created when they are first named, as in Azure; their names ignore case."""

    def __init__(
        self,
        keys: AccessKeys,
        endpoint: str,
        *,
        on_removed: Callable[[Connection, str], None] = lambda *_: None,
        clock: Clock | None = None,
        recovery_timeout: float = RECOVERY_TIMEOUT_SECONDS,
        traffic: Traffic | None = None,
        send: Callable[[Deliveries], None] = send_in_turn,
    ) -> None:
        self.keys = keys
        self.endpoint = endpoint
        self.clock = clock or Clock()
        self.hubs: dict[str, Hub] = {}
        self._on_removed = on_removed
        self._recovery_timeout = recovery_timeout
        self._traffic = traffic
        self._send = send

    def hub(self, name: str) -> Hub:
        name = name.lower()
        if name not in self.hubs:
            self.hubs[name] = Hub(
                name,
                self._on_removed,
                clock=self.clock.monotonic,
                recovery_timeout=self._recovery_timeout,
                traffic=self._traffic,
                send=self._send,
            )
        return self.hubs[name]

    def accepted_hosts(self, called: str) -> tuple[str, str]:
        """A token's audience may name the address that was called, or the endpoint."""
        return called, self.endpoint.partition("://")[2]

    def connection_count(self) -> int:
        return sum(len(hub.connections) for hub in self.hubs.values())

    def expire(self) -> None:
        for hub in tuple(self.hubs.values()):
            hub.expire()
