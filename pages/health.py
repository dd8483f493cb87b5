"""The health report: storage and service are called, stream ages are read.

The status is public, so a report is cached: storage and service are called at most once in
REPORT_CACHE_SECONDS, independent of the number of requests. Details require the function key.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec

from realtime.azure.tables import tables
from realtime.azure.web_pubsub import hub
from realtime.concurrency import gather_limited
from realtime.streams.definition import describe_unknown_streams_off, registry
from realtime.streams.pushed import list_streams
from realtime.streams.status import read_status
from realtime.streams.store import stream_store

CHECK_TIMEOUT_SECONDS = 3.0

REPORT_CACHE_SECONDS = 5.0
"""How long an instance gives the same report."""

log = logging.getLogger(__name__)


class HealthStatus(msgspec.Struct, frozen=True):
    """`status` is `ok` or `down`."""

    status: str


class HealthReport(msgspec.Struct, frozen=True):
    """`status` is `ok` or `down`; a check is `ok`, `down`, or the state of the streams."""

    status: str
    checks: dict[str, Any]


class Health:
    """The report of this process. Concurrent requests share one."""

    def __init__(
        self,
        check: Callable[[], Awaitable[HealthReport]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._check = check
        self._clock = clock
        self._report: asyncio.Future[HealthReport] | None = None
        self._cached_until = -1.0

    async def report(self) -> HealthReport:
        if self._report is None or (self._report.done() and self._clock() >= self._cached_until):
            self._report = asyncio.ensure_future(self._make())
        return await asyncio.shield(self._report)

    async def _make(self) -> HealthReport:
        try:
            return await self._check()
        finally:
            self._cached_until = self._clock() + REPORT_CACHE_SECONDS


async def check_health() -> HealthReport:
    """Call storage and service in parallel. A stream without ticks does not make the app `down`."""
    storage, service = await asyncio.gather(
        _check("tables", tables().ping()), _check("webpubsub", hub().ping())
    )
    streams = await _read_streams() if storage == "ok" else {}
    return HealthReport(
        "ok" if storage == service == "ok" else "down",
        {"tables": storage, "webpubsub": service, "streams": streams},
    )


async def _check(name: str, call: Awaitable[None]) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await call
    except Exception as error:  # noqa: BLE001 - any failure means that it is down
        log.warning("health: %s is down: %s", name, type(error).__name__)
        return "down"
    return "ok"


async def _read_streams() -> dict[str, Any]:
    now, store = datetime.now(UTC), stream_store()
    streams = await list_streams()
    found = await gather_limited(read_status(store, one, now) for one in streams.values())
    states = {
        one.name: {"active": one.active, "age_seconds": one.age_seconds, "stale": one.stale}
        for one in found
    }
    failed = {**registry.failed_imports, **describe_unknown_streams_off(streams)}.items()
    return states | {name: {"active": False, "error": problem} for name, problem in failed}


@cache
def reported_health() -> Health:
    """The health of this process."""
    return Health(check_health)
