"""Whether all is well: what we depend on is asked, not assumed."""

import asyncio
import logging
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any

import msgspec

from realtime.hub import hub
from realtime.stream import broken, catalogue, streams
from realtime.tables import tables

PATIENCE = 3.0
"""How many seconds a dependency may take to answer."""

log = logging.getLogger(__name__)


class Report(msgspec.Struct, frozen=True):
    """`status` is `ok` or `down`; a check is `ok`, `down`, or a stream's state."""

    status: str
    checks: dict[str, Any]


async def check() -> Report:
    """Ask every dependency at once. A stream that is silent takes nothing else down with it."""
    storage, service = await asyncio.gather(
        _answers("tables", tables().ping()), _answers("webpubsub", hub().ping())
    )
    states = await _streams() if storage == "ok" else {}
    return Report(
        "ok" if storage == service == "ok" else "down",
        {"tables": storage, "webpubsub": service, "streams": states},
    )


async def _answers(name: str, asking: Awaitable[None]) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            await asking
    except Exception as error:  # noqa: BLE001 - any failure means that it is down
        log.warning("health: %s is down: %s", name, type(error).__name__)
        return "down"
    return "ok"


async def _streams() -> dict[str, Any]:
    now = datetime.now(UTC)
    states = await asyncio.gather(*(streams().status(one, now) for one in catalogue.values()))
    known = {
        one.name: {"active": one.active, "age_seconds": one.age_seconds, "stale": one.stale}
        for one in states
    }
    return known | {name: {"active": False, "error": reason} for name, reason in broken.items()}
