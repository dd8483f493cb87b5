"""System metrics of the instance."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import psutil

from producers.metrics import MetricsReader, Sample, make_metrics, tick


async def test_the_first_metrics_are_complete() -> None:
    data = await MetricsReader().read()

    assert set(data) == {"instance", "cpu_percent", "load", "memory", "disk", "network"}
    assert data["instance"]
    assert 0 <= data["cpu_percent"] <= 100
    assert len(data["load"]) == 3
    assert data["memory"]["total_bytes"] == psutil.virtual_memory().total
    assert 0 < data["memory"]["used_bytes"] < data["memory"]["total_bytes"]
    assert 0 < data["disk"]["used_bytes"] <= data["disk"]["total_bytes"]
    assert data["network"]["received_per_second"] >= 0


async def test_metrics_are_json() -> None:
    data = await tick(None, datetime.now(UTC))

    assert json.loads(json.dumps(data)) == data


def make_sample(at: float, count: int) -> Sample:
    return Sample(
        at=at,
        cpu_percent=1.0,
        disk=SimpleNamespace(read_bytes=count, write_bytes=2 * count),
        network=SimpleNamespace(bytes_sent=3 * count, bytes_recv=4 * count),
    )


def test_rates_are_bytes_a_second_between_two_samples() -> None:
    data = make_metrics(make_sample(10.0, 1_000), make_sample(12.0, 2_000))

    assert data["disk"]["read_per_second"] == 500
    assert data["disk"]["written_per_second"] == 1_000
    assert data["network"] == {"sent_per_second": 1_500, "received_per_second": 2_000}


def test_a_counter_that_was_reset_gives_the_rate_zero() -> None:
    data = make_metrics(make_sample(10.0, 1_000), make_sample(12.0, 0))

    assert data["network"] == {"sent_per_second": 0, "received_per_second": 0}


def test_a_rate_without_a_counter_is_null() -> None:
    without_counters = Sample(at=10.0, cpu_percent=1.0, disk=None, network=None)

    data = make_metrics(without_counters, make_sample(12.0, 0))

    assert data["disk"]["read_per_second"] is None
    assert data["network"] == {"sent_per_second": None, "received_per_second": None}
