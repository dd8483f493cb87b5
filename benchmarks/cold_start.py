"""The start of a new instance: from a new Python process to the first negotiate response.

And the part of our own code: importing the app, compared with importing only its SDKs. Medians of
several runs, in which ours and the baseline alternate. The same for the emulator, beside the
library that it is built on.

All processes find bytecode, as on a machine on which they ran before and as in the deployment
package. One row shows our modules without it: then Python compiles them at each start.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from benchmarks.servers import stack, start_baseline
from benchmarks.table import Row
from local.parts import ROOT, Part, Stack, free_ports, start_functions, start_webpubsub

RUNS = 7
# The SDKs that the app needs: Functions, Web PubSub, tables, JSON and tokens.
SDKS = (
    "azure.functions, azure.messaging.webpubsubservice.aio, azure.data.tables.aio, aiohttp, "
    "msgspec, jwt"
)
IMPORT_SDKS = f"import {SDKS}"
WITHOUT_BYTECODE = (
    "import sys; sys.dont_write_bytecode = True; sys.pycache_prefix = '/dev/null/no-bytecode'"
)


async def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        cache_bytecode(folder)
        return measure()


def cache_bytecode(folder: str) -> None:
    """Let the processes that start from now on cache bytecode, whatever the environment says."""
    os.environ["PYTHONPYCACHEPREFIX"] = folder
    os.environ["PYTHONDONTWRITEBYTECODE"] = ""


def measure() -> list[Row]:
    imports = alternate(lambda: import_time("function_app"), lambda: import_time(SDKS))
    own = alternate(
        lambda: import_time("function_app", f"{IMPORT_SDKS}; {WITHOUT_BYTECODE}"),
        lambda: import_time("function_app", IMPORT_SDKS),
    )
    with stack() as ours:
        responses = alternate(lambda: first_response(ours), lambda: first_baseline_response(ours))
        processes = alternate(lambda: first_response(ours), lambda: process_time(IMPORT_SDKS))
    emulators = alternate(first_emulator_answer, lambda: process_time("import aiohttp.web"))
    return [
        Row(
            "cold start: process to first negotiate",
            processes[0],
            "ms",
            processes[1],
            "a process that imports its SDKs",
        ),
        Row("cold start: process to first negotiate", responses[0], "ms", responses[1], "FastAPI"),
        Row("cold start: import function_app", imports[0], "ms", imports[1], "its SDKs alone"),
        Row(
            "cold start: import function_app after its SDKs, without bytecode",
            own[0],
            "ms",
            own[1],
            "with bytecode",
        ),
        Row(
            "cold start: emulator, process to first answer",
            emulators[0],
            "ms",
            emulators[1],
            "a process that imports aiohttp",
        ),
    ]


def alternate(ours: Callable[[], float], baseline: Callable[[], float]) -> tuple[float, float]:
    """The medians of both; a first run of each only warms the disk's cache."""
    pairs = [(ours(), baseline()) for _ in range(RUNS + 1)][1:]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def import_time(modules: str, before: str = "") -> float:
    """Milliseconds that a new Python process, which has run `before`, takes to import these."""
    code = (
        f"{before}\nimport time; began = time.perf_counter(); "
        f"import {modules}; print((time.perf_counter() - began) * 1000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def process_time(code: str) -> float:
    """Milliseconds from starting a Python that runs this to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    return (time.perf_counter() - began) * 1000


def first_response(ours: Stack) -> float:
    began = time.perf_counter()
    host = start_functions(free_ports(1)[0], ours.environment)
    return milliseconds_until(host, f"{host.url}/api/negotiate?user_id=ann&room=lobby", began)


def first_baseline_response(ours: Stack) -> float:
    began = time.perf_counter()
    plain = start_baseline(ours.environment)
    return milliseconds_until(plain, f"{plain.url}/negotiate?user_id=ann&room=lobby", began)


def first_emulator_answer() -> float:
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "settings.json"
        settings.write_text("{}")
        began = time.perf_counter()
        emulator = start_webpubsub(free_ports(1)[0], settings)
        return milliseconds_until(emulator, f"{emulator.url}/api/health", began)


def milliseconds_until(part: Part, url: str, began: float) -> float:
    """The time from `began` to the first response of the URL; then the part is stopped."""
    try:
        while not responds(url):
            part.check()
            time.sleep(0.002)
        return (time.perf_counter() - began) * 1000
    finally:
        part.stop()


def responds(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        raise
    except OSError:
        return False
