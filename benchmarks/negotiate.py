"""How many people can come in per second: negotiate beside the plain way to write it.

Ours does more for each: a new guest identity, whether the person is barred, whether the room is
open to them, and a signed session. The same clients drive both, one after the other.
"""

from benchmarks.load import CLIENTS, drive
from benchmarks.servers import desk, start_baseline
from benchmarks.table import Row

BASELINE = "FastAPI, sync SDK"


async def run() -> list[Row]:
    with desk() as ours:
        ours_load = await drive(f"{ours.url}/api/negotiate?user_id=ann&room=lobby")
        plain = start_baseline(ours.environment)
        try:
            plain.wait()
            plain_load = await drive(f"{plain.url}/negotiate?user_id=ann&room=lobby")
        finally:
            plain.stop()
    name = f"negotiate, {CLIENTS} at once"
    return [
        Row(name, ours_load.per_second, "/s", plain_load.per_second, BASELINE),
        Row(f"{name}, p50", ours_load.p50, "ms", plain_load.p50, BASELINE),
        Row(f"{name}, p99", ours_load.p99, "ms", plain_load.p99, BASELINE),
    ]
