"""A local server in place of Azure Resource Manager and Microsoft Graph, an azd, and an app proxy.

It has state, as Azure does. Before a call (method and path) succeeds, it fails once with each of
`faults`, in order:

    "403" "404" "503"   the status; the call has no effect
    "half"              the call has its effect, half of the response body is sent
    "reset"             the call has its effect, the connection closes without a response
"""

import json
import stat
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.deployment.azure_state import Azure, error_body

AZD = """\
#!{python}
# Replaces azd: logs its arguments, and returns tokens that contain scope and tenant.
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


@contextmanager
def azure_stand_in(folder: Path, app_url: str = "") -> Iterator[tuple[Azure, dict[str, str]]]:
    """The stand-in, and the environment variables with its addresses."""
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
        self._respond()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 - names of BaseHTTPRequestHandler

    def _respond(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.azure.fault(f"{self.command} {self.path.partition('?')[0]}")
        if fault.isdigit():
            self._send(int(fault), json.dumps(error_body("Fault")).encode(), {})
            return
        status, content, headers = self._handle(sent)
        if fault == "reset":
            self.close_connection = True
        elif fault == "half":
            self._send(status, content, headers, cut=True)
        else:
            self._send(status, content, headers)

    def _handle(self, sent: bytes) -> tuple[int, bytes, dict[str, str]]:
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
        """Log nothing; the tests read `calls`."""


class _ManagerHandler(_Handler):
    def _handle(self, sent: bytes) -> tuple[int, bytes, dict[str, str]]:
        scope, _, tenant = (
            self.headers.get("Authorization", "").partition("token ")[2].partition(" ")
        )
        expected = f"http://127.0.0.1:{self.server.server_address[1]}/.default"  # type: ignore[attr-defined]
        if scope != expected or tenant.strip() != self.azure.tenant:
            challenge = f'Bearer authorization_uri="https://login.windows.net/{self.azure.tenant}"'
            body = error_body("InvalidAuthenticationTokenTenant")
            return 401, json.dumps(body).encode(), {"WWW-Authenticate": challenge}
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = urlsplit(self.path).path
        body = json.loads(sent) if sent else None
        status, response = self.azure.call(self.command, path, headers, body)
        return status, b"" if response is None else json.dumps(response).encode(), {}


class _AppHandler(_Handler):
    """Forwards requests to the app."""

    def _handle(self, sent: bytes) -> tuple[int, bytes, dict[str, str]]:
        self.azure.calls.append(f"{self.command} app {self.path.partition('?')[0]}")
        if self.azure.unhealthy_until_refreshed and self.path == "/api/health":
            return 503, json.dumps(error_body("unavailable")).encode(), {}
        forwarded = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in {"host", "connection", "content-length"}
        }
        request = urllib.request.Request(  # noqa: S310 - the app that the test started
            self.azure.app_url + self.path,
            data=sent or None,
            method=self.command,
            headers=forwarded,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
                return response.status, response.read(), _response_headers(response.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), _response_headers(error.headers)
        except OSError:
            return 502, b"", {}


def _response_headers(headers: Any) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k.lower() in {"webhook-allowed-origin", "allow"}}
