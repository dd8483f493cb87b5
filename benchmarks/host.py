"""What the Functions host itself costs: a function that only says hello, beside FastAPI's."""

import tempfile
from pathlib import Path

from benchmarks.load import CLIENTS, Load, drive
from benchmarks.servers import start_baseline
from benchmarks.table import Row
from local.parts import Part, free_ports, start_functions

HELLO = """
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.route("hello")
async def hello(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse('{"hello":"world"}', mimetype="application/json")
"""


async def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "function_app.py").write_text(HELLO)
        ours = await load(start_functions(free_ports(1)[0], {}, Path(folder)))
    plain = await load(start_baseline({}, "benchmarks.baseline_hello:app"))
    name = f"the host alone, {CLIENTS} at once"
    return [
        Row(name, ours.per_second, "/s", plain.per_second, "FastAPI"),
        Row(f"{name}: p99", ours.p99, "ms", plain.p99, "FastAPI"),
    ]


async def load(part: Part) -> Load:
    """What a server bears; it is stopped then."""
    try:
        part.wait()
        return await drive(f"{part.url}/api/hello")
    finally:
        part.stop()
