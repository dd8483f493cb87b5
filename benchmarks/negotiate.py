"""Negotiate requests per second, compared with the simplest implementation.

The app does more for each: it creates a guest identity and a signed session and checks bans; with
a room, also the access to it. The same clients call all servers alternately.
"""

from benchmarks.load import CLIENTS, Load, compare
from benchmarks.servers import stack, start_baseline
from benchmarks.table import Row

BASELINE = "FastAPI, sync SDK"


async def run() -> list[Row]:
    with stack() as ours:
        plain = start_baseline(ours.environment)
        try:
            plain.wait()
            into_room, without, baseline = await compare(
                f"{ours.url}/api/negotiate?user_id=ann&room=lobby",
                f"{ours.url}/api/negotiate?user_id=ann",
                f"{plain.url}/negotiate?user_id=ann&room=lobby",
            )
        finally:
            plain.stop()
    return [
        *rows(f"negotiate, {CLIENTS} at once", without, baseline),
        *rows(f"negotiate into a room, {CLIENTS} at once", into_room, baseline),
    ]


def rows(name: str, ours: Load, baseline: Load) -> list[Row]:
    return [
        Row(name, ours.per_second, "/s", baseline.per_second, BASELINE),
        Row(f"{name}: p50", ours.p50, "ms", baseline.p50, BASELINE),
        Row(f"{name}: p99", ours.p99, "ms", baseline.p99, BASELINE),
    ]
