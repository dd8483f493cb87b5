"""Runs the benchmarks and prints one table: `python -m benchmarks [NAME ...]`, or `make bench`."""

import argparse
import asyncio
import importlib
import pkgutil
import sys
import time
from types import ModuleType

import benchmarks
from benchmarks.table import Row, table


def main() -> None:
    """The command line."""
    known = {
        found.name: module
        for found in pkgutil.iter_modules(benchmarks.__path__)
        if not found.name.startswith(("__main__", "baseline_"))
        and hasattr(module := importlib.import_module(f"benchmarks.{found.name}"), "run")
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    names = parser.parse_args().names or list(known)
    if unknown := set(names) - set(known):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    rows = [row for name in names for row in run_benchmark(name, known[name])]
    print(f"\n{table(rows)}")


def run_benchmark(name: str, module: ModuleType) -> list[Row]:
    """The rows of one benchmark."""
    started = time.monotonic()
    print(f"{name} ...", end=" ", flush=True, file=sys.stderr)
    rows: list[Row] = asyncio.run(module.run())
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return rows


if __name__ == "__main__":
    main()
