"""The health report: storage and service are called, stream ages are read."""

import asyncio
import logging
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any

import msgspec

from realtime.azure.tables import tables
from realtime.azure.web_pubsub import hub
from realtime.streams.definition import registry
from realtime.streams.status import read_status
from realtime.streams.store import stream_store

CHECK_TIMEOUT_SECONDS = 3.0

log = logging.getLogger(__name__)


class HealthReport(msgspec.Struct, frozen=True):
    """`status` is `ok` or `down`; a check is `ok`, `down`, or the state of the streams."""

    status: str
    checks: dict[str, Any]


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
    found = await asyncio.gather(*(read_status(store, one, now) for one in registry.values()))
    states = {
        one.name: {"active": one.active, "age_seconds": one.age_seconds, "stale": one.stale}
        for one in found
    }
    failed = registry.failed_imports.items()
    return states | {name: {"active": False, "error": problem} for name, problem in failed}
