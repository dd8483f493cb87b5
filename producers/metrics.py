"""System metrics of the instance that runs this stream: processor, memory, disk and network."""

import asyncio
import time
from datetime import datetime
from functools import cache
from typing import Any

from msgspec import Struct

from realtime.messages import Frame
from realtime.settings import instance_name
from realtime.streams import Data, Stream

FIRST_SAMPLE_SECONDS = 0.1
"""The time between two samples if there is no recent one."""

MAX_SAMPLE_AGE_SECONDS = 60.0
"""An older sample is not used: the stream may have had no subscribers for hours."""


class Sample(Struct, frozen=True):
    """The counters of the machine since its start; `at` is a monotonic time in seconds."""

    at: float
    cpu_percent: float
    disk: Any
    network: Any


class MetricsReader:
    """Keeps the last sample: a rate needs two samples of the same machine."""

    def __init__(self) -> None:
        self._last: Sample | None = None

    async def read(self) -> Data:
        before = self._last
        if before is None or time.monotonic() - before.at > MAX_SAMPLE_AGE_SECONDS:
            before = _take_sample()
            await asyncio.sleep(FIRST_SAMPLE_SECONDS)
        self._last = now = _take_sample()
        return make_metrics(before, now)


def make_metrics(before: Sample, now: Sample) -> Data:
    """The state of the machine. Rates are bytes a second, or null without a counter."""
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


def _take_sample() -> Sample:
    import psutil

    return Sample(
        at=time.monotonic(),
        cpu_percent=psutil.cpu_percent(interval=None),  # since the previous sample
        disk=psutil.disk_io_counters(),
        network=psutil.net_io_counters(),
    )


def _rate(before: Any, now: Any, counter: str, seconds: float) -> int | None:
    if before is None or now is None or seconds <= 0:
        return None
    difference: int = getattr(now, counter) - getattr(before, counter)
    return max(0, round(difference / seconds))  # negative if the counter was reset


@cache
def metrics_reader() -> MetricsReader:
    """The metrics reader of this process."""
    return MetricsReader()


async def tick(_previous: Frame | None, _now: datetime) -> Data:
    return await metrics_reader().read()


STREAM = Stream(
    name="system-metrics",
    title="System metrics",
    group="metrics",
    description="Processor, memory, disk and network of the instance that runs this stream.",
    schedule="%METRICS_SCHEDULE%",
    type="system_metrics",
    tick=tick,
)
