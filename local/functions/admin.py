"""The host's own routes: its home page and what is below /admin.

https://learn.microsoft.com/azure/azure-functions/functions-manually-run-non-http
"""

import asyncio
import json
import os
import time
from functools import partial
from typing import Any

from aiohttp import web

from local.functions.declarations import Declarations, is_disabled
from local.functions.timers import Timer
from local.functions.worker import Function

HOST_VERSION = "4.1037.0.0"
"""The version of the real host that this one follows."""

HOME_PAGE_SWITCH = "AzureWebJobsDisableHomepage"


class Admin:
    """Responds to requests that no function handles."""

    def __init__(self, declarations: Declarations, url: str) -> None:
        self._declarations = declarations
        self._url = url
        self._timers = {timer.name.lower(): timer for timer in declarations.timers}
        self._functions = {one.name.lower(): one for one in declarations.functions}
        self._started_at = time.monotonic()
        self._runs: set[asyncio.Task[None]] = set()

    async def respond(self, request: web.BaseRequest, path: str) -> web.Response:
        """The response to an admin route; 404 where there is none. Keys are checked already."""
        match request.method, path.lower().split("/")[1:]:
            case "GET" | "HEAD" | "POST", ["host", "ping"]:
                return web.Response()
            case "GET", ["host", "status"]:
                return _json_response(self._describe_host())
            case "GET", ["functions"]:
                functions = self._declarations.functions
                return _json_response([self._describe(function) for function in functions])
            case "GET", ["functions", name] if name in self._functions:
                return _json_response(self._describe(self._functions[name]))
            case "GET", ["functions", name, "status"] if name in self._functions:
                error = self._declarations.errors.get(self._functions[name].name)
                return _json_response({"errors": [error]} if error else {})
            case "POST", ["functions", name] if name in self._timers:
                return await self._run_timer(request, self._timers[name])
        return web.Response(status=404)

    async def _run_timer(self, request: web.BaseRequest, timer: Timer) -> web.Response:
        try:
            body = json.loads(await request.read() or b"{}")
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return web.Response(status=400)
        run = asyncio.create_task(timer.run_once())
        self._runs.add(run)  # the loop has only a weak reference to a task
        run.add_done_callback(self._runs.discard)
        return web.Response(status=202)

    def _describe_host(self) -> dict[str, Any]:
        errors = [f"{name}: {error}" for name, error in self._declarations.errors.items()]
        return {
            "id": "local",
            "state": "Running",
            "version": HOST_VERSION,
            "versionDetails": f"{HOST_VERSION}+local",
            "processUptime": int((time.monotonic() - self._started_at) * 1000),
            "functionAppContentEditingState": "NotAllowed",
            **({"errors": errors} if errors else {}),
        }

    def _describe(self, function: Function) -> dict[str, Any]:
        found = [one for one in self._declarations.endpoints if one.function is function]
        trigger = function.trigger.get_dict_repr()
        return {
            "name": function.name,
            "script_root_path_href": None,
            "href": f"{self._url}/admin/functions/{function.name}",
            "invoke_url_template": f"{self._url}/{found[0].template}" if found else None,
            "language": "python",
            "config": {"name": function.name, "bindings": [trigger]},
            "isDisabled": is_disabled(function),
            "isDirect": True,
            "isProxy": False,
        }


def _json_response(content: Any) -> web.Response:
    # The SDK's triggers hold enumerations, which print as their names.
    return web.json_response(content, dumps=partial(json.dumps, default=str))


def respond_at_root() -> web.Response:
    """The home page at / for any method, unless a setting of the app disables it."""
    if os.environ.get(HOME_PAGE_SWITCH, "").lower() in ("1", "true"):
        return web.Response(status=204)
    return web.Response(
        text="<!DOCTYPE html><title>Functions</title><p>The Functions host is up and running.</p>",
        content_type="text/html",
    )
