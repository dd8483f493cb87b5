"""The overhead of the Functions host: a constant response, compared with FastAPI."""

import tempfile
from pathlib import Path

from benchmarks.load import CLIENTS, compare
from benchmarks.servers import start_baseline
from benchmarks.table import Row
from local.parts import free_ports, start_functions

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
        host = start_functions(free_ports(1)[0], {}, Path(folder))
        plain = start_baseline({}, "benchmarks.baseline_hello:app")
        try:
            host.wait()
            plain.wait()
            ours, baseline = await compare(f"{host.url}/api/hello", f"{plain.url}/api/hello")
        finally:
            host.stop()
            plain.stop()
    name = f"the host alone, {CLIENTS} at once"
    return [
        Row(name, ours.per_second, "/s", baseline.per_second, "FastAPI"),
        Row(f"{name}: p99", ours.p99, "ms", baseline.p99, "FastAPI"),
    ]
