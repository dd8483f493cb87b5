"""How the instance that runs this stream is doing: processor, memory, disk and network."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from realtime.messages import Frame
from realtime.settings import instance_name
from realtime.streams import Data, Stream

APART = 0.1
"""Seconds between two samples where the last one is missing or too old to speak of now."""

OLD = 60.0
"""Seconds after which a sample is too old: the stream may have been silent for hours."""


@dataclass(frozen=True)
class Sample:
    """What the machine has counted since it was started."""

    at: float
    cpu_percent: float
    disk: Any
    network: Any


class Meter:
    """Rates need two samples, and those of one machine: so they are kept here, in the process."""

    def __init__(self) -> None:
        self._last: Sample | None = None

    async def read(self) -> Data:
        before = self._last
        if before is None or time.monotonic() - before.at > OLD:
            before = _sample()
            await asyncio.sleep(APART)
        self._last = now = _sample()
        return measured(before, now)


def measured(before: Sample, now: Sample) -> Data:
    """The state of the machine; rates are bytes a second, null where nothing is counted."""
    import psutil

    memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
    seconds = now.at - before.at
    return {
        "instance": instance_name(),
        "cpu_percent": now.cpu_percent,
        "load": [round(load, 2) for load in psutil.getloadavg()],
        "memory": {
            "percent": memory.percent,
            "used_bytes": memory.total - memory.available,
            "total_bytes": memory.total,
        },
        "disk": {
            "percent": disk.percent,
            "used_bytes": disk.used,
            "total_bytes": disk.total,
            "read_per_second": _rate(before.disk, now.disk, "read_bytes", seconds),
            "written_per_second": _rate(before.disk, now.disk, "write_bytes", seconds),
        },
        "network": {
            "sent_per_second": _rate(before.network, now.network, "bytes_sent", seconds),
            "received_per_second": _rate(before.network, now.network, "bytes_recv", seconds),
        },
    }


def _sample() -> Sample:
    import psutil

    return Sample(
        at=time.monotonic(),
        cpu_percent=psutil.cpu_percent(interval=None),  # since the sample before
        disk=psutil.disk_io_counters(),
        network=psutil.net_io_counters(),
    )


def _rate(before: Any, now: Any, counter: str, seconds: float) -> int | None:
    if before is None or now is None or seconds <= 0:
        return None
    counted: int = getattr(now, counter) - getattr(before, counter)
    return max(0, round(counted / seconds))


@cache
def meter() -> Meter:
    """This process's meter."""
    return Meter()


async def tick(_previous: Frame | None, _now: datetime) -> Data:
    return await meter().read()


STREAM = Stream(
    name="system-metrics",
    title="System metrics",
    group="metrics",
    description="Processor, memory, disk and network of the instance that runs this stream.",
    schedule="%METRICS_SCHEDULE%",
    type="system_metrics",
    tick=tick,
)
