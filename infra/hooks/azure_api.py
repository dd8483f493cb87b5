"""What the hooks share: the login of azd, calls of Azure's APIs that are repeated, and errors.

The hooks need Python 3.11 and azd, no package and no other command line.

    ARM_ENDPOINT          Azure Resource Manager; default https://management.azure.com
    GRAPH_ENDPOINT        Microsoft Graph; default https://graph.microsoft.com
    HOOK_TIMEOUT_SECONDS  how long a hook waits in all; default 600
    HOOK_RETRY_SECONDS    the first pause between two attempts; default 2, it doubles up to 30
"""

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

if sys.version_info < (3, 11):  # noqa: UP036 - a hook runs with any installed Python
    sys.exit("The hooks need Python 3.11 or newer.")

ARM_ENDPOINT = os.environ.get("ARM_ENDPOINT", "https://management.azure.com").rstrip("/")
GRAPH_ENDPOINT = os.environ.get("GRAPH_ENDPOINT", "https://graph.microsoft.com").rstrip("/")

TIMEOUT_SECONDS = float(os.environ.get("HOOK_TIMEOUT_SECONDS", "600"))
FIRST_PAUSE_SECONDS = float(os.environ.get("HOOK_RETRY_SECONDS", "2"))
MAX_PAUSE_SECONDS = 30.0
REQUEST_TIMEOUT_SECONDS = 30.0

NO_RESPONSE = 0
"""The status of a call that got no complete response."""

TRANSIENT = frozenset({NO_RESPONSE, 408, 429, 500, 502, 503, 504})
"""Worth another attempt at any time."""

SETTLING = TRANSIENT | {403, 404, 409}
"""Worth another attempt soon after something was created: Azure's parts learn of it one by one."""

deadline = time.monotonic() + TIMEOUT_SECONDS


class HookError(Exception):
    """A step failed. The text names the step and the remedy."""


class CallError(HookError):
    """Azure refused a call."""

    def __init__(self, text: str, status: int, code: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


class Response:
    """Status, headers by lower-case name, and text of a response."""

    def __init__(self, status: int, headers: dict[str, str], text: str) -> None:
        self.status = status
        self.headers = headers
        self.text = text

    @property
    def json(self) -> Any:
        """The body; None if there is none. Raises ValueError if it is not JSON."""
        return json.loads(self.text) if self.text.strip() else None


def request(
    method: str, url: str, headers: dict[str, str] | None = None, body: Any = None
) -> Response:
    """One HTTP request. If there is no complete response, the status is NO_RESPONSE."""
    data = None if body is None else json.dumps(body).encode()
    sent = {"Accept": "application/json", **(headers or {})}
    if data is not None:
        sent["Content-Type"] = "application/json"
    elif method == "POST":
        data = b""
    prepared = urllib.request.Request(url, data=data, method=method, headers=sent)  # noqa: S310
    try:
        with urllib.request.urlopen(prepared, timeout=REQUEST_TIMEOUT_SECONDS) as response:  # noqa: S310
            return Response(response.status, _lower(response.headers), response.read().decode())
    except urllib.error.HTTPError as error:
        try:
            text = error.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            text = ""
        return Response(error.code, _lower(error.headers), text)
    except (OSError, http.client.HTTPException, UnicodeDecodeError) as error:
        return Response(NO_RESPONSE, {}, str(error) or type(error).__name__)


def repeat(what: str, attempt: Callable[[], Any | None], problem: Callable[[], str]) -> Any:
    """The result of `attempt`, which is repeated until it is not None or the hook's time is up.

    A line is printed when the wait begins and whenever the problem changes.
    """
    pause = FIRST_PAUSE_SECONDS
    reported = ""
    while True:
        result = attempt()
        if result is not None:
            return result
        if problem() != reported:
            reported = problem()
            left = max(0.0, deadline - time.monotonic())
            print(f"Waiting for {what}, up to {left:.0f} s: {reported}", flush=True)
        if time.monotonic() + pause > deadline:
            raise HookError(f"Gave up waiting for {what} after {TIMEOUT_SECONDS:.0f} s: {reported}")
        time.sleep(pause)
        pause = min(2 * pause, MAX_PAUSE_SECONDS)


class Api:
    """One of Azure's APIs, called with the login of azd."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._tenant = os.environ.get("AZURE_TENANT_ID", "")
        self._token = ""

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        retry: frozenset[int] = TRANSIENT,
        accept: frozenset[int] = frozenset(),
    ) -> Response:
        """The response of a call, after further attempts for the statuses in `retry`.

        Statuses from 400 on raise CallError, except those in `accept`.
        """
        last = Response(NO_RESPONSE, {}, "")

        def attempt() -> Response | None:
            nonlocal last
            last = self._authorized(method, path, headers, body)
            if last.status in retry - accept:
                return None
            if last.status < 400 and not _is_json(last):
                last = Response(NO_RESPONSE, {}, "its JSON is incomplete")
                return None if NO_RESPONSE in retry else last
            return last

        what = f"{method} {_resource(path)}"
        try:
            response: Response = repeat(what, attempt, lambda: _describe(last))
        except HookError as error:
            raise CallError(str(error), last.status, _code(last)) from None
        failed = response.status >= 400 or response.status == NO_RESPONSE
        if failed and response.status not in accept:
            raise CallError(f"{what}: {_describe(response)}", response.status, _code(response))
        return response

    def _authorized(
        self, method: str, path: str, headers: dict[str, str] | None, body: Any
    ) -> Response:
        response = self._send(method, path, headers, body)
        if response.status != 401:
            return response
        # The login may be of another tenant than the subscription; the response names it.
        named = re.search(r'authorization_uri="[^"]*/([0-9a-fA-F-]{36})"', _challenge(response))
        self._token, self._tenant = "", named[1] if named else self._tenant
        response = self._send(method, path, headers, body)
        if response.status == 401:
            tenant = f" --tenant-id {self._tenant}" if self._tenant else ""
            raise CallError(
                f"Azure does not accept the login of azd. Run `azd auth login{tenant}`, then the "
                "command again.",
                401,
                _code(response),
            )
        return response

    def _send(self, method: str, path: str, headers: dict[str, str] | None, body: Any) -> Response:
        self._token = self._token or get_token(f"{self.endpoint}/.default", self._tenant)
        authorization = {"Authorization": f"Bearer {self._token}"}
        return request(method, self.endpoint + path, {**authorization, **(headers or {})}, body)


class ResourceManager(Api):
    """Azure Resource Manager: a resource id and an API version name what is called."""

    def __init__(self) -> None:
        super().__init__(ARM_ENDPOINT)

    def get(self, resource: str, version: str, **options: Any) -> Any:
        """A resource, or None if `accept` has 404 and there is none."""
        response = self.call("GET", _versioned(resource, version), **options)
        return response.json if response.status < 400 else None

    def put(self, resource: str, version: str, body: Any, **options: Any) -> Any:
        return self.call("PUT", _versioned(resource, version), body, **options).json

    def post(self, action: str, version: str, **options: Any) -> Any:
        return self.call("POST", _versioned(action, version), **options).json


def graph() -> Api:
    """Microsoft Graph."""
    return Api(GRAPH_ENDPOINT)


def get_token(scope: str, tenant: str = "") -> str:
    """An access token of the login of azd."""
    words = ["auth", "token", "--output", "json", "--scope", scope]
    try:
        return str(json.loads(azd(*words, *(["--tenant-id", tenant] if tenant else [])))["token"])
    except (ValueError, KeyError):
        raise HookError("`azd auth token` printed no token. Run `azd auth login`.") from None
    except HookError as error:
        raise HookError(f"{error}\nRun `azd auth login`, then the command again.") from None


def set_value(name: str, value: str) -> None:
    """Store a value in the azd environment."""
    environment = os.environ.get("AZURE_ENV_NAME", "")
    azd("env", "set", name, value, *(["--environment", environment] if environment else []))


def azd(*words: str) -> str:
    """What an azd command prints."""
    path = shutil.which("azd")
    if path is None:
        raise HookError("azd is not on the PATH: https://aka.ms/azd describes the installation.")
    done = subprocess.run([path, *words], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise HookError(f"`azd {' '.join(words[:2])}` failed: {done.stderr.strip()}")
    return done.stdout


def require(name: str) -> str:
    """A value of the azd environment, which azd passes to its hooks."""
    value = os.environ.get(name, "")
    if not value:
        raise HookError(f"{name} is not set. Run `azd provision` first.")
    return value


def run_hook(main: Callable[[], None]) -> None:
    """Run a hook; a failure is one sentence and exit code 1."""
    try:
        main()
    except HookError as error:
        sys.exit(str(error))


def _versioned(resource: str, version: str) -> str:
    return f"{resource}{'&' if '?' in resource else '?'}api-version={version}"


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _is_json(response: Response) -> bool:
    try:
        _ = response.json
    except ValueError:
        return False
    return True


def _challenge(response: Response) -> str:
    return response.headers.get("www-authenticate", "")


def _resource(path: str) -> str:
    """The part of a path that a person recognizes, without query and subscription."""
    return "/".join(path.partition("?")[0].split("/")[-3:])


def _error(response: Response) -> dict[str, Any]:
    try:
        error = response.json["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def _code(response: Response) -> str:
    return str(_error(response).get("code", ""))


def _describe(response: Response) -> str:
    if response.status == NO_RESPONSE:
        return f"no complete response ({response.text})"
    error = _error(response)
    problem = f"{error.get('code', '')} {error.get('message', '')}".strip() or response.text[:200]
    return f"{response.status} {problem}".strip()
