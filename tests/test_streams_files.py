"""Producers are files: add one and it ticks, break one and the others go on."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

REPOSITORY = Path(__file__).parent.parent
DEADLINE = 40


def example() -> str:
    """The stream that docs/streams.md tells a newcomer to write."""
    text = (REPOSITORY / "docs" / "streams.md").read_text("utf-8")
    found = re.search(r"## Add your own stream.*?```python\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


def copy_app(to: Path) -> Path:
    """The app, with a folder of producers that a test may write into."""
    for name in ["function_app.py", "host.json", "realtime", "negotiate", "events"]:
        (to / name).symlink_to(REPOSITORY / name)
    (to / "producers").mkdir()
    for file in (REPOSITORY / "producers").glob("*.py"):
        (to / "producers" / file.name).write_bytes(file.read_bytes())
    return to


@pytest.fixture
async def app(desk: Any, tmp_path: Path) -> AsyncIterator[str]:
    """The address of the app with the documented stream and with a file that is broken."""
    copy_app(tmp_path)
    (tmp_path / "producers" / "dice.py").write_text(example(), "utf-8")
    (tmp_path / "producers" / "broken.py").write_text("import no_such_module\n", "utf-8")
    port = free_port()
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "TABLES_CONNECTION_STRING": desk.tables_connection_string,
        "WEBPUBSUB_CONNECTION_STRING": desk.webpubsub_connection_string,
        "WEBPUBSUB_HUB": "dice",
        "SESSION_SECRET": "only-for-this-test-only-for-this-test",
        "STOCKS_SCHEDULE": "* * * * * *",
        "METRICS_SCHEDULE": "*/5 * * * * *",
        "WEATHER_SCHEDULE": "0 * * * * *",
    }
    command = ["-m", "local.functions", "--app", str(tmp_path), "--port", str(port)]
    host = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environment, cwd=tmp_path
    )
    try:
        await answers(f"http://127.0.0.1:{port}/api/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        host.terminate()
        await asyncio.wait_for(host.wait(), DEADLINE)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


async def answers(address: str) -> None:
    async with asyncio.timeout(DEADLINE), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(address):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


async def test_the_stream_of_the_document_ticks_in_a_client_beside_a_broken_file(app: str) -> None:
    async with asyncio.timeout(DEADLINE), aiohttp.ClientSession() as session:
        async with session.get(f"{app}/api/negotiate?groups=dice") as answer:
            url = (await answer.json())["url"]
        protocols = ["json.webpubsub.azure.v1"]
        async with session.ws_connect(url, protocols=protocols) as socket:
            heard: list[dict[str, Any]] = []
            while len(heard) < 2:
                said = await socket.receive_json()
                heard += [said["data"]] if said["type"] == "message" else []
        async with session.get(f"{app}/api/streams") as answer:
            listed = {one["name"]: one for one in (await answer.json())["streams"]}
        async with session.get(f"{app}/api/health/details") as answer:
            states = (await answer.json())["checks"]["streams"]

    assert {frame["type"] for frame in heard} == {"dice_update"}
    assert all(1 <= frame["data"]["eyes"] <= 6 for frame in heard)
    assert heard[1]["data"]["throws"] == heard[0]["data"]["throws"] + 1
    assert heard[1]["tick"] > heard[0]["tick"]
    assert set(listed) == {"dice", "stock-prices", "system-metrics", "weather"}
    assert listed["dice"]["active"]
    assert states["broken"]["error"] == "there is no module no_such_module"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def oops(:\n", "SyntaxError"),
        ("raise RuntimeError('s3cret')\n", "RuntimeError in zoo.py, line 1"),
        ("import no_such_module\n", "there is no module no_such_module"),
        ("STREAM = None\n", "AttributeError"),
        ("RATE = 3\n", "AttributeError"),
        (example().replace('name="dice"', 'name="weather"'), "ValueError"),
        (example().replace("* * * * * *", "now and then"), "InvalidScheduleError"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_the_others_stay(
    tmp_path: Path, text: str, reason: str
) -> None:
    copy_app(tmp_path)
    (tmp_path / "producers" / "zoo.py").write_text(text, "utf-8")

    found = looked_at(tmp_path)

    assert found["broken"]["zoo"].startswith(reason)
    assert "s3cret" not in found["log"]
    assert found["streams"] == ["stock-prices", "system-metrics", "weather"]
    assert found["timers"] == ["stock_prices", "system_metrics", "weather"]


def test_what_producers_need_is_not_imported_before_they_run(tmp_path: Path) -> None:
    found = looked_at(copy_app(tmp_path))

    assert found["broken"] == {}
    assert not {"httpx", "psutil", "opentelemetry"} & set(found["modules"])


LOOK = """
import json, sys
import azure.functions
import producers
modules = list(sys.modules)
from realtime.streams.definition import registry
app = azure.functions.FunctionApp()
app.register_functions(producers.bp)
timers = sorted(one.get_function_name() for one in app.get_functions())
broken, streams = registry.failed_imports, sorted(registry)
print(json.dumps({"broken": broken, "streams": streams, "timers": timers, "modules": modules}))
"""


def looked_at(app: Path) -> dict[str, Any]:
    """What an interpreter of its own finds when it imports the producers."""
    run = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=app, capture_output=True, check=True, text=True
    )
    found: dict[str, Any] = json.loads(run.stdout)
    return found | {"log": run.stderr}
