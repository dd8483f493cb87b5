"""Runs the benchmarks and prints one table: `python -m benchmarks [NAME ...]`, or `make bench`."""

import argparse
import importlib
import multiprocessing
import pkgutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import benchmarks
from benchmarks.runner import run_benchmark
from benchmarks.table import Row, table


def main() -> None:
    """The command line."""
    known = [
        found.name
        for found in pkgutil.iter_modules(benchmarks.__path__)
        if not found.name.startswith(("__main__", "baseline_"))
        and hasattr(importlib.import_module(f"benchmarks.{found.name}"), "run")
    ]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    names = parser.parse_args().names or known
    if unknown := set(names) - set(known):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    rows = [row for name in names for row in run_in_own_process(name)]
    print(f"\n{table(rows)}")


def run_in_own_process(name: str) -> list[Row]:
    """The rows of one benchmark. Some use the app's clients, which a process has once."""
    started = time.monotonic()
    print(f"{name} ...", end=" ", flush=True, file=sys.stderr)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        rows = process.submit(run_benchmark, name).result()
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return rows


if __name__ == "__main__":
    main()
