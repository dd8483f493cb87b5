"""A Functions host for one desk: runs a Python v2 app (function_app.py) the way Azure does.

    python -m local.functions --port 7071 --app DIR

It reads host.json and local.settings.json (else local.settings.json.example) of the app; what is
already in the environment wins. It answers HTTP and runs timers; other triggers need `func start`,
which runs the same app unchanged. Also left out: streaming, retry policies, extension bundles,
replies as a bare string that describe a response, and time zones (timers count in UTC).
"""

import argparse
import asyncio
import json
import logging
import os
import re
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from local.endpoints import Cors, Endpoint, Front
from local.timers import Timer, utc_now
from local.worker import Function, LoadError, Worker, load
from realtime import ncrontab

ADDRESS = "127.0.0.1"
# How long a stop waits for calls that are being answered.
FAREWELL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What the app's own files say about how it wants to be hosted."""

    route_prefix: str = "api"
    custom_headers: Mapping[str, str] = field(default_factory=dict)
    port: int = 7071
    cors: Cors | None = None


def read_settings(app: Path) -> Settings:
    """How the app is to be hosted; its Values go to the environment, where not already set."""
    http = _read_json(app / "host.json").get("extensions", {}).get("http", {})
    local = _read_json(app / "local.settings.json") or _read_json(
        app / "local.settings.json.example"
    )
    if local.get("IsEncrypted"):
        raise LoadError("local.settings.json is encrypted: run `func settings decrypt` first")
    for name, value in local.get("Values", {}).items():
        os.environ.setdefault(name, str(value))
    os.environ["AZURE_FUNCTIONS_ENVIRONMENT"] = "Development"
    host = local.get("Host", {})
    origins = frozenset(one.strip().rstrip("/") for one in host.get("CORS", "").split(",")) - {""}
    return Settings(
        route_prefix=http.get("routePrefix", "api").strip("/"),
        custom_headers=http.get("customHeaders", {}),
        port=host.get("LocalHttpPort", 7071),
        cors=Cors(origins, bool(host.get("CORSCredentials"))) if origins else None,
    )


def _read_json(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise LoadError(f"{file} is not JSON: {error}") from error
    return content


def timer(function: Function, run: Worker, data: Path | None) -> Timer:
    """A timer function on its schedule; LoadError when that cannot be read."""
    expression = resolved(function.trigger.schedule)
    try:
        schedule = ncrontab.parse(expression)
        monitored = schedule.is_monitored(utc_now())
    except ValueError as error:
        raise LoadError(f"the schedule of {function.name}: {error}") from error
    return Timer(
        name=function.name,
        schedule=schedule,
        tick=lambda timer: run.tick(function, timer),
        monitored=monitored and function.trigger.use_monitor is not False,
        run_on_startup=bool(function.trigger.run_on_startup),
        kept_in=data and data / f"{function.name}.json",
    )


def resolved(text: str) -> str:
    """Text with each %NAME% replaced by the setting of that name; LoadError when there is none."""

    def setting(found: re.Match[str]) -> str:
        if (value := os.environ.get(found[1])) is None:
            raise LoadError(f"%{found[1]}% is not set: add it to Values in local.settings.json")
        return value

    return re.sub("%([^%]+)%", setting, text)


def is_disabled(function: Function) -> bool:
    """Whether the app's settings switch this function off."""
    setting = os.environ.get(f"AzureWebJobs.{function.name}.Disabled", "")
    return setting.lower() in ("1", "true")


async def serve(app: Path, port: int | None, key: str | None, data: Path | None) -> None:
    """Hosts the app until SIGINT or SIGTERM; LoadError when it cannot be loaded."""
    settings = read_settings(app)
    port = port or settings.port
    # Loaded while the loop runs, as in Azure: what an app does at import meets the same loop here.
    functions = [function for function in load(app) if not is_disabled(function)]
    run = Worker()
    endpoints = [
        Endpoint.of(function, settings.route_prefix) for function in functions if function.is_http
    ]
    timers = [timer(function, run, data) for function in functions if not function.is_http]
    front = Front(endpoints, timers, run, settings.custom_headers, settings.cors, key)

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.ServerRunner(front.server(), shutdown_timeout=FAREWELL_SECONDS)
    await runner.setup()
    await _listen(runner, port)
    ticking = [asyncio.create_task(one.run(), name=one.name) for one in timers]
    print("\n".join(announcement(endpoints, functions, port, key)), flush=True)
    await stop.wait()
    for task in ticking:
        task.cancel()
    await runner.cleanup()


async def _listen(runner: web.ServerRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, ADDRESS, port).start()
    except OSError as error:
        raise LoadError(f"cannot listen on port {port}: {error.strerror}") from error


def announcement(
    endpoints: list[Endpoint], functions: list[Function], port: int, key: str | None
) -> Iterator[str]:
    """What `func start` prints: every function, and where it is found."""
    yield "\nFunctions:\n"
    for endpoint in endpoints:
        methods = ",".join(sorted(endpoint.methods)) or "ALL"
        yield f"        {endpoint.function.name}: [{methods}] http://localhost:{port}/{endpoint.template}"
    for function in functions:
        if not function.is_http:
            yield f"        {function.name}: timerTrigger {resolved(function.trigger.schedule)}"
    if key is not None:
        yield f"\nFunction key: {key}"
    yield ""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m local.functions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--app", type=Path, default=Path(), metavar="DIR", help="the app's folder")
    parser.add_argument("--port", type=int, help="default: Host.LocalHttpPort, else 7071")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="where timers remember their last run"
    )
    parser.add_argument(
        "--enable-auth", action="store_true", help="ask for function keys, as Azure does"
    )
    parser.add_argument(
        "--key",
        default=os.environ.get("FUNCTIONS_KEY"),
        help="the key to ask for; default: $FUNCTIONS_KEY, else a new one",
    )
    given = parser.parse_args()
    app, data = given.app.resolve(), given.data and given.data.resolve()
    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
    key = (given.key or secrets.token_urlsafe(24)) if given.enable_auth else None
    _log_like_func()
    os.chdir(app)
    try:
        asyncio.run(serve(app, given.port, key, data))
    except LoadError as error:
        sys.exit(str(error))
    # Azure ends a worker without a farewell: an app cannot close its clients, and need not here.
    sys.stdout.flush()
    os._exit(0)


def _log_like_func() -> None:
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stdout,
        format="[%(asctime)s.%(msecs)03dZ] %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    # The Azure SDK logs every request it makes: with a timer a second, that drowns all else.
    logging.getLogger("azure.core").setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
