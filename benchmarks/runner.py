"""Runs one benchmark, in a process of its own."""

import asyncio
import importlib

from benchmarks.table import Row


def run_benchmark(name: str) -> list[Row]:
    """The rows of the module `benchmarks.<name>`."""
    module = importlib.import_module(f"benchmarks.{name}")
    rows: list[Row] = asyncio.run(module.run())
    return rows
