"""How fast rooms are on several instances behind a balancer, with a storage at a distance.

    make bench ARGS=instances
    python -m benchmarks.instances [CASE ...] [--instances 1 2] [--distances 8] [--loads closed]

Cases: `hot` (one room, 50 senders), `rooms` (200 rooms, two senders each), and those of
`instances_events`. All parts share the processors of this machine; `processor` is their load.
"""

import argparse
import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from benchmarks.instances_cluster import Cluster, Measured, start_cluster
from benchmarks.instances_events import CASES as EVENT_CASES
from benchmarks.instances_load import Answers, close, open_senders, send_at_rate, send_closed_loop
from benchmarks.instances_receiver import receive
from benchmarks.table import Row, number

INSTANCES = [1, 2, 4, 8]
DISTANCES_MS = [0, 8]
LOADS = ["closed", "50", "100"]
"""`closed`: each client sends the next message when it has the response. A number: that many
messages a second."""

SECONDS = 5.0
WARM_UP_SECONDS = 4.0
"""Each instance reads what it needs to know of each sender once; then it is cached."""
HTTP_CONCURRENCY = 16

ROOMS = {"hot": (1, 50), "rooms": (200, 2)}
"""The cases: how many rooms, and how many senders in each."""

COLUMNS = (
    "case", "instances", "storage", "load", "done/s", "p50 ms", "p99 ms", "refused",
    "writes each", "reads each", "conflicts/write", "processor", "note",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One line of the result."""

    name: str
    instances: int
    distance: int
    load: str


@dataclass
class Result:
    """What a case came to. `done` includes what was done before the measured time."""

    case: Case
    answers: Answers
    measured: Measured
    done: int
    note: str

    @property
    def cells(self) -> tuple[str, ...]:
        done, counts = max(1, self.done), self.measured
        writes = counts.transactions + counts.single_writes
        return (
            self.case.name,
            str(self.case.instances),
            f"{self.case.distance} ms",
            self.case.load,
            number(self.answers.per_second),
            number(self.answers.percentile(50)),
            number(self.answers.percentile(99)),
            str(self.answers.refused),
            f"{writes / done:.2f}",
            f"{counts.reads / done:.2f}",
            f"{counts.conflicts / max(1, writes):.2f}",
            f"{counts.processor:.0f} %",
            self.note,
        )

    @property
    def rows(self) -> list[Row]:
        one = self.case
        what = f"{one.name}, {one.instances} instances, storage {one.distance} ms, {one.load}"
        p99 = self.answers.percentile(99)
        return [
            Row(f"{what}: done", self.answers.per_second, "/s"),
            Row(f"{what}: p99", p99, "ms"),
        ]


async def run() -> list[Row]:
    cases = list_cases([*ROOMS, *EVENT_CASES], INSTANCES, DISTANCES_MS, LOADS)
    results = await measure(cases, HTTP_CONCURRENCY)
    return [row for result in results for row in result.rows]


def list_cases(
    names: Sequence[str], instances: Sequence[int], distances: Sequence[int], loads: Sequence[str]
) -> list[Case]:
    """All combinations; the fixed rates are for the hot room only, and the cases of events run with
    one instance and with the most, and with the largest distance."""
    return [
        Case(name, count, distance, load)
        for name in names
        for distance in distances
        for load in loads
        for count in instances
        if name == "hot" or load == "closed"
        if name in ROOMS or (count in {instances[0], instances[-1]} and distance == distances[-1])
    ]


async def measure(cases: Sequence[Case], concurrency: int) -> list[Result]:
    """Run the cases, and print a line for each as soon as it is there."""
    print(" | ".join(COLUMNS))
    results = []
    settings = {"METRICS_SCHEDULE": "* * * * * *"}
    most = max(case.instances for case in cases)
    async with start_cluster(most, concurrency, settings) as cluster:
        for case in cases:
            results.append(await measure_case(cluster, case))
            print(" | ".join(results[-1].cells), flush=True)
    return results


async def measure_case(cluster: Cluster, case: Case) -> Result:
    await cluster.set_instances(case.instances)
    await cluster.set_distance(case.distance)
    if case.name in EVENT_CASES:
        return await _measure_events(cluster, case)
    count, each = ROOMS[case.name]
    rooms = [f"{case.name}-{uuid.uuid4().hex[:8]}" for _ in range(count)]
    senders = await open_senders(cluster.port, rooms, each)
    async with receive(cluster, rooms[0]) as receiver:
        before = await cluster.read_counts()
        if case.load == "closed":
            answers = await send_closed_loop(senders, WARM_UP_SECONDS, SECONDS)
        else:
            answers = await send_at_rate(senders, float(case.load), WARM_UP_SECONDS, SECONDS)
        measured = await cluster.measure(before)
        sent = sum(sender.sent for sender in senders)
        if count == 1:
            await receiver.wait_for_entries(sent - answers.refused)
    close(senders)
    note = f"{receiver.late} frames out of order" if receiver.late else ""
    return Result(case, answers, measured, sent, note)


async def _measure_events(cluster: Cluster, case: Case) -> Result:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        before: dict[str, int] = {}

        async def start() -> None:
            before.update(await cluster.read_counts())

        answers, note = await EVENT_CASES[case.name](cluster, http, start)
        measured = await cluster.measure(before)
    return Result(case, answers, measured, len(answers.milliseconds), note)


def main() -> None:
    """The command line."""
    names = [*ROOMS, *EVENT_CASES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instances", description=__doc__)
    parser.add_argument("cases", nargs="*", default=names, help=f"of {', '.join(names)}")
    parser.add_argument("--instances", nargs="+", type=int, default=INSTANCES)
    parser.add_argument("--distances", nargs="+", type=int, default=DISTANCES_MS, metavar="MS")
    parser.add_argument("--loads", nargs="+", default=LOADS)
    parser.add_argument("--concurrency", type=int, default=HTTP_CONCURRENCY)
    chosen = parser.parse_args()
    cases = list_cases(chosen.cases, chosen.instances, chosen.distances, chosen.loads)
    asyncio.run(measure(cases, chosen.concurrency))


if __name__ == "__main__":
    main()
