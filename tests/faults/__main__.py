"""Makes faults while clients write, checks what is left, and prints a table.

    python -m tests.faults [--only NAME ...] [--scale 0.2] [--seed 1]

A full run takes about 12 minutes. The same seed makes the same choices: which part is killed, which
request fails, when. What runs at the same time is up to the machine.
"""

import argparse
import asyncio
import logging
import secrets
import sys
import time

from tests.faults import pages, quiet_rooms, restored_tables  # noqa: F401 - they declare scenarios
from tests.faults.runner import Result, run_scenario
from tests.faults.scenarios import SCENARIOS
from tests.faults.table import format_header, format_result
from tests.faults.world import open_world


def main() -> None:
    given = parse_arguments()
    if given.list:
        for one in SCENARIOS.values():
            print(f"{one.name:16} {one.seconds:4.0f} s  {one.title}")
        return
    logging.getLogger("realtime").setLevel(logging.ERROR)  # the table is the output
    results = asyncio.run(run_all(given.only or list(SCENARIOS), given.scale, given.seed))
    if not all(one.passed for one in results):
        sys.exit(1)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=list(SCENARIOS), metavar="NAME", help="scenarios to run")
    add("--scale", type=float, default=1.0, help="multiplies the time of each scenario")
    add("--seed", type=int, default=secrets.randbelow(100_000), help="default: a new one")
    add("--list", action="store_true", help="print the scenarios")
    return parser.parse_args()


async def run_all(names: list[str], scale: float, seed: int) -> list[Result]:
    started = time.monotonic()
    results = []
    print(f"seed {seed}\n{format_header()}", flush=True)
    async with open_world(seed) as world:
        for name in names:
            one = SCENARIOS[name]
            result = await run_scenario(world, one, one.seconds * scale, seed)
            results.append(result)
            print(format_result(result), flush=True)
    wrong = sum(not one.passed for one in results)
    minutes = (time.monotonic() - started) / 60
    print(f"\n{len(results)} scenarios in {minutes:.1f} min, {wrong} failed", flush=True)
    return results


if __name__ == "__main__":
    main()
