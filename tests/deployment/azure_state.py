"""The state of the stand-in for Azure Resource Manager and Microsoft Graph, and its responses."""

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

SUBSCRIPTION = "/subscriptions/11111111-1111-4111-8111-111111111111"
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg-try"
APP = f"{GROUP}/providers/Microsoft.Web/sites/func"
STORAGE = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/st"
SERVICE = f"{GROUP}/providers/Microsoft.SignalRService/webPubSub/wps"
HUB = f"{SERVICE}/hubs/townsquare"
TENANT = "22222222-2222-4222-8222-222222222222"
KEY = "a+key/of=a_function"


class Azure:
    """The state of the stand-in, and the calls that it received."""

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
        self.settings = {
            "WEBHOOK_AUDIENCE": "api://an-application,an-application",
            "MINE": "unchanged",
        }
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
        self._fault_counts: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    @property
    def azd_log(self) -> str:
        """The arguments of every azd command, a line each."""
        log = self.folder / "azd.log"
        return log.read_text() if log.exists() else ""

    def count(self, pattern: str) -> int:
        """The number of calls whose method and path match."""
        return sum(re.search(pattern, call) is not None for call in self.calls)

    def fault(self, call: str) -> str:
        """The fault of this call, or an empty string."""
        with self._lock:
            n = self._fault_counts[call]
            self._fault_counts[call] += 1
        return self.faults[n] if n < len(self.faults) else ""

    def call(self, method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        """Carry out a call. Returns status and body."""
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
        for verb, route, respond in routes:
            if (verb, route) == (method, path):
                return respond()
        if method == "GET" and path.startswith(f"{SUBSCRIPTION}/resourcegroups/"):
            group = self.groups.get(path.rpartition("/")[2])
            return (200, group) if group else (404, error_body("ResourceGroupNotFound"))
        return 404, error_body("ResourceNotFound")

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
            return 404, error_body("ResourceNotFound")
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
            return 403, error_body("Authorization_RequestDenied", "Insufficient privileges")
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
                return 404, error_body("Request_ResourceNotFound")
            del self.applications[name]
            self.deleted_applications.add(one[1])
            return 204, None
        if method == "DELETE" and "/directory/deletedItems/" in path:
            self.deleted_applications.discard(path.rpartition("/")[2])
            return 204, None
        return 404, error_body("Request_ResourceNotFound")

    def _application(
        self, method: str, name: str, headers: dict[str, str], body: Any
    ) -> tuple[int, Any]:
        found = self.applications.get(name)
        if method == "GET":
            return (200, found) if found else (404, error_body("Request_ResourceNotFound"))
        if found is None and headers.get("prefer") != "create-if-missing":
            return 404, error_body("Request_ResourceNotFound")
        if found is None:
            number = len(self.applications) + len(self.deleted_applications) + 1
            found = {"id": f"object-{number}", "appId": f"app-{number}", "identifierUris": []}
            self.applications[name] = found
            found.update(body)
            return 201, found
        found.update(body)
        return 204, None


def error_body(code: str, message: str = "stand-in") -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}
