"""How fast rooms are on several instances behind a balancer, with a storage at a distance.

    make bench ARGS=instances
    python -m benchmarks.instances [CASE ...] [--instances 1 2] [--distances 8] [--loads closed]

Cases: `hot` (one room, 50 senders), `rooms` (200 rooms, two senders each). All parts share the
processors of this machine; the last column is their load.
"""

import argparse
import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.instances_cluster import Cluster, Measured, start_cluster
from benchmarks.instances_load import Answers, close, open_senders, send_at_rate, send_closed_loop
from benchmarks.instances_receiver import receive
from benchmarks.table import Row, number

INSTANCES = [1, 2, 4, 8]
DISTANCES_MS = [0, 8]
LOADS = ["closed", "50", "100"]
"""`closed`: everybody sends the next message when the last is answered. A number: that many
messages a second."""

SECONDS = 5.0
WARM_UP_SECONDS = 1.5
HTTP_CONCURRENCY = 16

ROOMS = {"hot": (1, 50), "rooms": (200, 2)}
"""The cases: how many rooms, and how many senders in each."""

COLUMNS = (
    "case", "instances", "storage", "load", "stored/s", "p50 ms", "p99 ms", "refused",
    "transactions/message", "reads/message", "conflicts/commit", "frames late", "processor",
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
    """What a case came to. `late` frames came after one with a higher seq."""

    case: Case
    answers: Answers
    measured: Measured
    received: int
    late: int

    @property
    def cells(self) -> tuple[str, ...]:
        sent, counts = max(1, self.received), self.measured
        return (
            self.case.name,
            str(self.case.instances),
            f"{self.case.distance} ms",
            self.case.load,
            number(self.answers.per_second),
            number(self.answers.percentile(50)),
            number(self.answers.percentile(99)),
            str(self.answers.refused),
            f"{(counts.transactions + counts.single_writes) / sent:.2f}",
            f"{counts.reads / sent:.2f}",
            f"{counts.conflicts / max(1, counts.transactions):.2f}",
            str(self.late),
            f"{counts.processor:.0f} %",
        )

    @property
    def rows(self) -> list[Row]:
        one = self.case
        what = f"{one.name}, {one.instances} instances, storage {one.distance} ms, {one.load}"
        p99 = self.answers.percentile(99)
        return [
            Row(f"{what}: stored", self.answers.per_second, "messages/s"),
            Row(f"{what}: p99", p99, "ms"),
        ]


async def run() -> list[Row]:
    cases = list_cases(list(ROOMS), INSTANCES, DISTANCES_MS, LOADS)
    results = await measure(cases, HTTP_CONCURRENCY)
    return [row for result in results for row in result.rows]


def list_cases(
    names: Sequence[str], instances: Sequence[int], distances: Sequence[int], loads: Sequence[str]
) -> list[Case]:
    """All combinations; the fixed rates are for the hot room only."""
    return [
        Case(name, count, distance, load)
        for name in names
        for distance in distances
        for load in loads
        for count in instances
        if name == "hot" or load == "closed"
    ]


async def measure(cases: Sequence[Case], concurrency: int) -> list[Result]:
    """Run the cases, and print a line for each as soon as it is there."""
    print(" | ".join(COLUMNS))
    results = []
    async with start_cluster(max(case.instances for case in cases), concurrency) as cluster:
        for case in cases:
            results.append(await measure_case(cluster, case))
            print(" | ".join(results[-1].cells), flush=True)
    return results


async def measure_case(cluster: Cluster, case: Case) -> Result:
    await cluster.set_instances(case.instances)
    await cluster.set_distance(case.distance)
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
    return Result(case, answers, measured, sent, receiver.late)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instances", description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(ROOMS), help=f"of {', '.join(ROOMS)}")
    parser.add_argument("--instances", nargs="+", type=int, default=INSTANCES)
    parser.add_argument("--distances", nargs="+", type=int, default=DISTANCES_MS, metavar="MS")
    parser.add_argument("--loads", nargs="+", default=LOADS)
    parser.add_argument("--concurrency", type=int, default=HTTP_CONCURRENCY)
    chosen = parser.parse_args()
    cases = list_cases(chosen.cases, chosen.instances, chosen.distances, chosen.loads)
    asyncio.run(measure(cases, chosen.concurrency))


if __name__ == "__main__":
    main()
