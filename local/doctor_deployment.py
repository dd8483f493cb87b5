"""Checks of a deployed app that need more than its public address.

    handler    the hub's event handler is the app's          by Azure Resource Manager
    roles      the app's identity has its roles              by Azure Resource Manager
    regions    app, storage and Web PubSub are in one        by Azure Resource Manager
    functions  the host has loaded every function            by Azure Resource Manager
    streams    every stream ticks                            by the app's own API

Those by Azure Resource Manager use the login and the environment of azd.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import aiohttp

from local.parts import ROOT

INSPECTION = ROOT / "infra/hooks/inspect_deployment.py"

COMMAND_TIMEOUT_SECONDS = 120.0

Result = tuple[str, str, str]
"""Check, state (ok, failed or skipped) and sentence, as the doctor prints them."""

NEEDS_AZD = ("handler", "roles", "regions", "functions")


async def inspect_deployment(url: str, environment: Mapping[str, str] = os.environ) -> list[Result]:
    """Checks of the deployment at an address. Without azd they are `skipped`."""
    try:
        values = await read_azd_environment(url, environment)
        output = await _run(
            [sys.executable, str(INSPECTION)],
            {**environment, **values, "HOOK_TIMEOUT_SECONDS": "30"},
        )
        found = json.loads(output)["findings"]
    except _UnavailableError as reason:
        return [(name, "skipped", str(reason)) for name in NEEDS_AZD]
    return [(one["check"], one["state"], one["message"]) for one in found]


async def check_streams(http: aiohttp.ClientSession, url: str) -> Result:
    """Every stream has a frame that is not late; a stream that is turned off is not listed."""
    async with http.get(f"{url}/api/streams") as response:
        listed: dict[str, Any] = await response.json()
    streams = listed.get("streams", [])
    late = [
        f"{one['name']} ({_describe_age(one['age_seconds'])})"
        for one in streams
        if not one["active"]
    ]
    if late:
        problem = (
            f"These streams do not tick: {', '.join(late)}. Look at their timer functions in "
            "Application Insights; turn a stream off with STREAMS_OFF."
        )
        return "streams", "failed", problem
    return "streams", "ok", f"{len(streams)} streams tick"


def _describe_age(age_seconds: float | None) -> str:
    return "no frame yet" if age_seconds is None else f"last frame {age_seconds:.0f} s ago"


async def read_azd_environment(url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The values of the selected azd environment, which must be that of the app."""
    azd = shutil.which("azd", path=environment.get("PATH"))
    if azd is None:
        raise _UnavailableError("azd is not installed here; it knows the resources")
    output = await _run([azd, "env", "get-values", "--output", "json"], environment)
    values = {name: str(value) for name, value in json.loads(output).items()}
    if values.get("APP_URL", "").rstrip("/") != url.rstrip("/"):
        raise _UnavailableError(f"the azd environment here is not that of {url}")
    return values


async def _run(command: list[str], environment: Mapping[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=dict(environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_SECONDS):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise _UnavailableError(f"no response within {COMMAND_TIMEOUT_SECONDS:.0f} s") from None
    if process.returncode:
        raise _UnavailableError(errors.decode(errors="replace").strip().splitlines()[-1])
    return output.decode()


class _UnavailableError(Exception):
    """The checks cannot run; the text is the reason."""
