"""Files of producers: a new file adds a stream, and a broken file does not stop the others."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from local.ports import free_ports

REPOSITORY = Path(__file__).parents[2]
TIMEOUT_SECONDS = 40


def example() -> str:
    """The stream in docs/streams.md."""
    text = (REPOSITORY / "docs" / "streams.md").read_text("utf-8")
    found = re.search(r"## Add your own stream.*?```python\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


def copy_app(to: Path) -> Path:
    """A copy of the app with its own folder of producers."""
    for name in ["function_app.py", "host.json", "realtime", "negotiate", "events"]:
        (to / name).symlink_to(REPOSITORY / name)
    (to / "producers").mkdir()
    for file in (REPOSITORY / "producers").glob("*.py"):
        (to / "producers" / file.name).write_bytes(file.read_bytes())
    return to


@pytest.fixture
async def app(stack: Any, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of an app with the documented stream and a broken file."""
    copy_app(tmp_path)
    (tmp_path / "producers" / "dice.py").write_text(example(), "utf-8")
    (tmp_path / "producers" / "broken.py").write_text("import no_such_module\n", "utf-8")
    (port,) = free_ports(1)
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "TABLES_CONNECTION_STRING": stack.tables_connection_string,
        "WEBPUBSUB_CONNECTION_STRING": stack.webpubsub_connection_string,
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
        await wait_until_ready(f"http://127.0.0.1:{port}/api/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        host.terminate()
        await asyncio.wait_for(host.wait(), TIMEOUT_SECONDS)


async def wait_until_ready(address: str) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(address):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


async def test_the_documented_stream_ticks_while_another_file_is_broken(
    app: str,
) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS), aiohttp.ClientSession() as session:
        async with session.get(f"{app}/api/negotiate") as response:
            negotiated = await response.json()
        protocols = ["json.webpubsub.azure.v1"]
        async with session.ws_connect(negotiated["url"], protocols=protocols) as socket:
            await socket.receive_json()  # "connected"
            headers = {"Authorization": f"Bearer {negotiated['session']}"}
            async with session.post(
                f"{app}/api/streams/dice/subscribe", headers=headers
            ) as response:
                assert response.status == 200
            frames: list[dict[str, Any]] = []
            while len(frames) < 4:
                message = await socket.receive_json()
                frames += [message["data"]] if message["type"] == "message" else []
        async with session.get(f"{app}/api/streams") as response:
            listed = {one["name"]: one for one in (await response.json())["streams"]}
        async with session.get(f"{app}/api/health/details") as response:
            states = (await response.json())["checks"]["streams"]

    assert {frame["type"] for frame in frames} == {"dice_update"}
    assert all(1 <= frame["data"]["eyes"] <= 6 for frame in frames)
    assert frames[1]["data"]["throws"] == frames[0]["data"]["throws"] + 1
    # The stream ticks before the next minute of the timer, without a gap.
    assert [one["tick"] - frames[0]["tick"] for one in frames] == [0, 1, 2, 3]
    # Other tests push "greenhouse" and those that begin with "tide".
    producers = {name for name in listed if not name.startswith(("tide", "greenhouse"))}
    assert producers == {"dice", "stock-prices", "system-metrics", "weather"}
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
def test_an_unusable_file_is_reported_and_the_others_run(
    tmp_path: Path, text: str, reason: str
) -> None:
    copy_app(tmp_path)
    (tmp_path / "producers" / "zoo.py").write_text(text, "utf-8")

    found = inspect_producers(tmp_path)

    assert found["broken"]["zoo"].startswith(reason)
    assert "s3cret" not in found["log"]
    assert found["streams"] == ["stock-prices", "system-metrics", "weather"]
    assert found["timers"] == ["run_streams"]


def test_the_packages_of_producers_are_not_imported_before_they_run(tmp_path: Path) -> None:
    found = inspect_producers(copy_app(tmp_path))

    assert found["broken"] == {}
    assert not {"httpx", "psutil", "opentelemetry"} & set(found["modules"])


INSPECT = """
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


def inspect_producers(app: Path) -> dict[str, Any]:
    """Import the producers in a new interpreter. Returns what it found."""
    run = subprocess.run(
        [sys.executable, "-c", INSPECT], cwd=app, capture_output=True, check=True, text=True
    )
    found: dict[str, Any] = json.loads(run.stdout)
    return found | {"log": run.stderr}
