"""Stands in for Azure Resource Manager, Microsoft Graph, azd and a proxy before the app.

It keeps state as Azure does, and gives wrong answers first when it is told to: each of `faults` is
given once for every call (method and path), in order, before the right answer.

    "403" "404" "503"   the status, before anything was done
    "half"              the call is carried out, half of the answer arrives
    "reset"             the call is carried out, the connection ends without an answer
"""

import json
import re
import stat
import sys
import threading
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

SUBSCRIPTION = "/subscriptions/11111111-1111-4111-8111-111111111111"
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg-try"
APP = f"{GROUP}/providers/Microsoft.Web/sites/func"
STORAGE = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/st"
SERVICE = f"{GROUP}/providers/Microsoft.SignalRService/webPubSub/wps"
HUB = f"{SERVICE}/hubs/townsquare"
TENANT = "22222222-2222-4222-8222-222222222222"
KEY = "a+key/of=a_function"

AZD = """\
#!{python}
# Stands in for azd: writes down what it is told, and gives tokens that name what they are for.
import json, os, pathlib, sys
folder = pathlib.Path({folder!r})
words = sys.argv[1:]
with (folder / "azd.log").open("a") as log:
    log.write(" ".join(words) + "\\n")
if words[:2] == ["auth", "token"]:
    if (folder / "signed-out").exists():
        sys.exit("ERROR: not logged in, run `azd auth login` to login")
    scope = words[words.index("--scope") + 1]
    tenant = words[words.index("--tenant-id") + 1] if "--tenant-id" in words else ""
    token = f"token {{scope}} {{tenant}}"
    print(json.dumps({{"token": token, "expiresOn": "2099-01-01T00:00:00Z"}}))
elif words[:2] == ["env", "get-values"]:
    print((folder / "values.json").read_text())
elif words[:2] == ["env", "set"]:
    print("")
else:
    sys.exit("not expected: " + " ".join(words))
"""


class Azure:
    """The state behind the stand-in, and what was called."""

    def __init__(self, folder: Path, app_url: str = "") -> None:
        self.folder = folder
        self.app_url = app_url
        self.faults: Sequence[str] = ()
        self.calls: list[str] = []
        self.tenant = ""
        self.permissions = [{"actions": ["*"], "notActions": []}]
        self.regions = ["East US", "West Europe"]
        self.groups: dict[str, dict[str, Any]] = {}
        self.deleted_vaults: list[str] = []
        self.roles_created = datetime.now(UTC) - timedelta(hours=1)
        self.roles = [
            "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
            "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
        ]
        self.settings = {"WEBHOOK_AUDIENCE": "api://an-application,an-application", "MINE": "kept"}
        self.hub: dict[str, Any] | None = {"anonymousConnectPolicy": "deny"}
        self.hub_states = ["Updating", "Succeeded"]
        self.applications: dict[str, dict[str, Any]] = {}
        self.principals: set[str] = set()
        self.deleted_applications: set[str] = set()
        self.may_register = True
        self.unhealthy_until_refreshed = False
        self.principal = "principal"
        self.locations = dict.fromkeys([APP, STORAGE, SERVICE], "East US")
        self.function_errors: dict[str, list[str]] = {}
        self._given: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    @property
    def said(self) -> str:
        """The commands that azd was given."""
        log = self.folder / "azd.log"
        return log.read_text() if log.exists() else ""

    def count(self, pattern: str) -> int:
        """How many calls were carried out whose method and path match."""
        return sum(re.search(pattern, call) is not None for call in self.calls)

    def fault(self, call: str) -> str:
        """The fault that this call is given now, or an empty string."""
        with self._lock:
            n = self._given[call]
            self._given[call] += 1
        return self.faults[n] if n < len(self.faults) else ""

    def carry_out(
        self, method: str, path: str, headers: dict[str, str], body: Any
    ) -> tuple[int, Any]:
        """Status and body of a call."""
        with self._lock:
            self.calls.append(f"{method} {path}")
        if path.startswith("/v1.0/"):
            return self._graph(method, path, headers, body)
        return self._manager(method, path, body)

    def _manager(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        routes: list[tuple[str, str, Callable[[], tuple[int, Any]]]] = [
            ("GET", SUBSCRIPTION, lambda: (200, {"state": "Enabled", "tenantId": TENANT})),
            (
                "GET",
                f"{SUBSCRIPTION}/providers/Microsoft.Authorization/permissions",
                lambda: (200, {"value": self.permissions}),
            ),
            (
                "GET",
                f"{SUBSCRIPTION}/providers/Microsoft.SignalRService",
                lambda: (
                    200,
                    {"resourceTypes": [{"resourceType": "webPubSub", "locations": self.regions}]},
                ),
            ),
            (
                "GET",
                f"{SUBSCRIPTION}/providers/Microsoft.KeyVault/deletedVaults",
                lambda: (
                    200,
                    {
                        "value": [
                            {"name": name, "properties": {"vaultId": f"{GROUP}/{name}"}}
                            for name in self.deleted_vaults
                        ]
                    },
                ),
            ),
            ("POST", f"{SUBSCRIPTION}/providers/Microsoft.App/register", lambda: (200, {})),
            (
                "GET",
                f"{STORAGE}/providers/Microsoft.Authorization/roleAssignments",
                self._assignments,
            ),
            (
                "POST",
                f"{APP}/config/appsettings/list",
                lambda: (200, {"properties": dict(self.settings)}),
            ),
            ("PUT", f"{APP}/config/appsettings", lambda: self._put_settings(body)),
            ("POST", f"{APP}/config/configreferences/appsettings/refresh", self._refresh),
            ("POST", f"{APP}/restart", lambda: (200, None)),
            ("POST", f"{APP}/functions/pubsub_events/listkeys", lambda: (200, {"default": KEY})),
            ("GET", f"{APP}/functions", self._functions),
            (
                "POST",
                f"{APP}/host/default/listkeys",
                lambda: (200, {"masterKey": KEY, "functionKeys": {"default": KEY}}),
            ),
            ("GET", APP, lambda: (200, {"location": self.locations[APP], **self._identity()})),
            ("GET", STORAGE, lambda: (200, {"location": self.locations[STORAGE]})),
            ("GET", SERVICE, lambda: (200, {"location": self.locations[SERVICE]})),
            (
                "GET",
                f"{SERVICE}/providers/Microsoft.Authorization/roleAssignments",
                lambda: (
                    200,
                    {"value": [self._assignment(SERVICE, "12cf5a90-567b-43ae-8102-96cf46c7d9b4")]},
                ),
            ),
            ("GET", HUB, self._get_hub),
            ("PUT", HUB, lambda: self._put_hub(body)),
        ]
        for verb, route, act in routes:
            if (verb, route) == (method, path):
                return act()
        if method == "GET" and path.startswith(f"{SUBSCRIPTION}/resourcegroups/"):
            group = self.groups.get(path.rpartition("/")[2])
            return (200, group) if group else (404, _error("ResourceGroupNotFound"))
        return 404, _error("ResourceNotFound")

    def _assignments(self) -> tuple[int, Any]:
        return 200, {"value": [self._assignment(STORAGE, role) for role in self.roles]}

    def _assignment(self, scope: str, role: str) -> dict[str, Any]:
        return {
            "properties": {
                "scope": scope,
                "principalId": self.principal,
                "roleDefinitionId": f"/roleDefinitions/{role}",
                "createdOn": self.roles_created.strftime("%Y-%m-%dT%H:%M:%S.%f") + "1Z",
            }
        }

    def _identity(self) -> dict[str, Any]:
        return {"identity": {"userAssignedIdentities": {"id": {"principalId": self.principal}}}}

    def _functions(self) -> tuple[int, Any]:
        names = ["negotiate", "pubsub_events", "run_streams"]
        return 200, {"value": [{"name": f"func/{name}", "properties": {}} for name in names]}

    def _put_settings(self, body: Any) -> tuple[int, Any]:
        self.settings = body["properties"]
        return 200, body

    def _refresh(self) -> tuple[int, Any]:
        self.unhealthy_until_refreshed = False
        return 200, {"value": []}

    def _get_hub(self) -> tuple[int, Any]:
        if self.hub is None:
            return 404, _error("ResourceNotFound")
        state = self.hub_states[0] if len(self.hub_states) == 1 else self.hub_states.pop(0)
        return 200, {"properties": {**self.hub, "provisioningState": state}}

    def _put_hub(self, body: Any) -> tuple[int, Any]:
        assert "provisioningState" not in body["properties"]
        self.hub = body["properties"]
        self.hub_states = ["Updating", "Succeeded"]
        return 200, body

    def _graph(self, method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        path = unquote(path)
        if not self.may_register and method == "PATCH":
            return 403, _error("Authorization_RequestDenied", "Insufficient privileges")
        if named := re.fullmatch(r"/v1\.0/applications\(uniqueName='(.*)'\)", path):
            return self._application(method, named[1], headers, body)
        if named := re.fullmatch(r"/v1\.0/servicePrincipals\(appId='(.*)'\)", path):
            assert headers.get("prefer") == "create-if-missing"
            created = named[1] not in self.principals
            self.principals.add(named[1])
            return (201, {"appId": named[1]}) if created else (204, None)
        if method == "DELETE" and (one := re.fullmatch(r"/v1\.0/applications/(\S+)", path)):
            name = next((k for k, v in self.applications.items() if v["id"] == one[1]), None)
            if name is None:
                return 404, _error("Request_ResourceNotFound")
            del self.applications[name]
            self.deleted_applications.add(one[1])
            return 204, None
        if method == "DELETE" and "/directory/deletedItems/" in path:
            self.deleted_applications.discard(path.rpartition("/")[2])
            return 204, None
        return 404, _error("Request_ResourceNotFound")

    def _application(
        self, method: str, name: str, headers: dict[str, str], body: Any
    ) -> tuple[int, Any]:
        found = self.applications.get(name)
        if method == "GET":
            return (200, found) if found else (404, _error("Request_ResourceNotFound"))
        if found is None and headers.get("prefer") != "create-if-missing":
            return 404, _error("Request_ResourceNotFound")
        if found is None:
            number = len(self.applications) + len(self.deleted_applications) + 1
            found = {"id": f"object-{number}", "appId": f"app-{number}", "identifierUris": []}
            self.applications[name] = found
            found.update(body)
            return 201, found
        found.update(body)
        return 204, None


def _error(code: str, message: str = "stand-in") -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


@contextmanager
def azure_stand_in(folder: Path, app_url: str = "") -> Iterator[tuple[Azure, dict[str, str]]]:
    """The stand-in, and the environment in which a hook finds it."""
    azure = Azure(folder, app_url)
    manager = _serve(azure, _ManagerHandler)
    app = _serve(azure, _AppHandler)
    program = folder / "azd"
    program.write_text(AZD.format(python=sys.executable, folder=str(folder)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    endpoint = f"http://127.0.0.1:{manager.server_address[1]}"
    try:
        yield (
            azure,
            {
                "ARM_ENDPOINT": endpoint,
                "GRAPH_ENDPOINT": endpoint,
                "APP_URL": f"http://127.0.0.1:{app.server_address[1]}",
                "HOOK_TIMEOUT_SECONDS": "60",
                "HOOK_RETRY_SECONDS": "0.005",
            },
        )
    finally:
        for server in (manager, app):
            server.shutdown()
            server.server_close()


def _serve(azure: Azure, handler: type["_Handler"]) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (handler,), {"azure": azure}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    azure: Azure
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 - their names there

    def _answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.azure.fault(f"{self.command} {self.path.partition('?')[0]}")
        if fault.isdigit():
            self._send(int(fault), json.dumps(_error("Fault")).encode(), {})
            return
        status, content, headers = self._act(sent)
        if fault == "reset":
            self.close_connection = True
        elif fault == "half":
            self._send(status, content, headers, cut=True)
        else:
            self._send(status, content, headers)

    def _act(self, sent: bytes) -> tuple[int, bytes, dict[str, str]]:
        raise NotImplementedError

    def _send(
        self, status: int, content: bytes, headers: dict[str, str], *, cut: bool = False
    ) -> None:
        self.send_response_only(status)
        self.send_header("Date", format_datetime(datetime.now(UTC), usegmt=True))
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if status != 204:
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing: the tests read `calls`."""


class _ManagerHandler(_Handler):
    def _act(self, sent: bytes) -> tuple[int, bytes, dict[str, str]]:
        scope, _, tenant = (
            self.headers.get("Authorization", "").partition("token ")[2].partition(" ")
        )
        expected = f"http://127.0.0.1:{self.server.server_address[1]}/.default"  # type: ignore[attr-defined]
        if scope != expected or tenant.strip() != self.azure.tenant:
            challenge = f'Bearer authorization_uri="https://login.windows.net/{self.azure.tenant}"'
            body = _error("InvalidAuthenticationTokenTenant")
            return 401, json.dumps(body).encode(), {"WWW-Authenticate": challenge}
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = urlsplit(self.path).path
        body = json.loads(sent) if sent else None
        status, answer = self.azure.carry_out(self.command, path, headers, body)
        return status, b"" if answer is None else json.dumps(answer).encode(), {}


class _AppHandler(_Handler):
    """Passes requests on to the app."""

    def _act(self, sent: bytes) -> tuple[int, bytes, dict[str, str]]:
        self.azure.calls.append(f"{self.command} app {self.path.partition('?')[0]}")
        if self.azure.unhealthy_until_refreshed and self.path == "/api/health":
            return 503, json.dumps(_error("unavailable")).encode(), {}
        kept = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in {"host", "connection", "content-length"}
        }
        request = urllib.request.Request(  # noqa: S310 - the app that the test started
            self.azure.app_url + self.path, data=sent or None, method=self.command, headers=kept
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return answer.status, answer.read(), _passed(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), _passed(error.headers)
        except OSError:
            return 502, b"", {}


def _passed(headers: Any) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k.lower() in {"webhook-allowed-origin", "allow"}}
