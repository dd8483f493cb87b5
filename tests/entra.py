"""The integration tests with Microsoft Entra ID, TLS and the assigned roles, as in Azure.

    python -m tests.entra [arguments of pytest]

The emulator serves https with its own certificate. The app has no access key: it calls Web PubSub
with a managed identity, and its events carry a bearer token of the service's managed identity.
Tables and Web PubSub are behind proxies that reject what the roles in infra/ do not allow.
As a pytest plugin, this module replaces how the tests start the emulator and the app.
"""

import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from local import parts
from local.parts import ACCESS_KEY, EMULATOR_SOURCE, HUB, ROOT, Part

# The variables by which OpenSSL and `requests` trust a certificate.
TRUST_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
FOLDER_VARIABLE = "ENTRA_TESTS_FOLDER"

AUDIENCE = "api://townsquare"
TENANT_ID = "5f0c1a52-0000-4000-8000-9d2f3a4b5c6d"
PRINCIPAL_ID = "c4d5e6f7-0000-4000-8000-1a2b3c4d5e6f"

TESTS = (
    "tests/test_bans.py",
    "tests/test_conversation.py",
    "tests/test_departures.py",
    "tests/test_history.py",
    "tests/test_metrics.py",
    "tests/test_openapi.py",
    "tests/test_presence.py",
    "tests/test_private_rooms.py",
    "tests/streams/test_history.py",
    "tests/streams/test_status.py",
    "tests/streams/test_subscriptions.py",
    "tests/streams/test_ticks.py",
    "tests/streams/test_pushed.py",
    "tests/entra_checks.py",
)
"""Test files that reach the app through the emulator; others sign events with the access key.

Together they call every operation of the API.
"""

LEFT_OUT = (
    # They sign events with the access key.
    "test_a_member_removal_applies_at_once_on_every_instance",
    "test_a_member_removed_between_connect_and_connected_is_removed_from_the_room",
    "test_a_ban_applies_at_once_on_every_instance",
    "test_a_user_banned_between_connect_and_connected_is_disconnected",
    "test_the_banned_users_setting_rejects_connections_and_messages",
    # They have an emulator or a proxy of their own, which knows access keys only.
    "test_a_commit_whose_response_was_lost_is_recognized",
    "test_disconnected_user_is_removed_after_the_recovery_timeout",
    # They repeat operations that the other tests of their file call, and take long.
    "test_a_join_while_another_instance_makes_the_room_private_does_not_last",
    "test_a_random_request_gets_a_documented_response",
    "test_acknowledged_messages_survive_a_killed_host",
    "test_all_messages_are_published_after_a_failure_of_ten_seconds",
    "test_all_users_receive_the_messages_of_two_hosts_in_one_order",
)
"""Tests that say nothing about rights and tokens, or cannot run with them."""


issuers: list[str] = []
"""The addresses of the started emulators; each issues the tokens of its app."""


class TlsPart(Part):
    """A part that serves https."""

    def is_ready(self) -> bool:
        trusted = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
        connection = http.client.HTTPSConnection(self.address, timeout=2, context=trusted)
        try:
            connection.request("GET", self.ready_path)
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    @property
    def address(self) -> str:
        return self.url.removeprefix("https://")


def main() -> int:
    """Run pytest in an environment that trusts the emulator's certificate."""
    sys.path.insert(0, str(EMULATOR_SOURCE))
    from webpubsub_emulator.tls import load_tls_context

    with tempfile.TemporaryDirectory() as folder:
        load_tls_context(Path(folder), "localhost")
        certificate = str(Path(folder) / "certificate.pem")
        environment = dict.fromkeys(TRUST_VARIABLES, certificate) | {FOLDER_VARIABLE: folder}
        arguments = sys.argv[1:]
        files = [] if any(argument.startswith("tests/") for argument in arguments) else TESTS
        missing = [test for test in files if not (ROOT / test).is_file()]
        if missing:  # pytest-xdist would only report that it ran no test
            sys.exit(f"tests/entra.py names files that do not exist: {', '.join(missing)}")
        plugins = ["-p", "tests.deployment.through_rights", "-p", "tests.entra"]
        options = [*plugins, "-k", f"not ({' or '.join(LEFT_OUT)})"]
        command = [sys.executable, "-m", "pytest", *options, *files, *arguments]
        return subprocess.run(
            command, cwd=ROOT, env={**os.environ, **environment}, check=False
        ).returncode


def start_webpubsub(port: int, settings: Path, access_key: str = ACCESS_KEY) -> Part:
    """The emulator with TLS, its local issuer, and a managed identity for its events."""
    command = [
        *(sys.executable, "-m", "webpubsub_emulator", "--port", str(port)),
        *("--access-key", access_key, "--settings", str(settings)),
        *("--entra", "--entra-tenant", TENANT_ID, "--entra-principal", PRINCIPAL_ID),
        *("--tls", os.environ[FOLDER_VARIABLE]),
    ]
    source = {"PYTHONPATH": str(EMULATOR_SOURCE)}
    part = TlsPart("Web PubSub", f"https://localhost:{port}", "/api/health", command, source)
    part.start()
    issuers.append(part.url)
    return part


def start_functions(
    port: int,
    environment: Mapping[str, str],
    app: Path = ROOT,
    data: Path | None = None,
    options: Iterable[str] = (),
    listener: Callable[[str], None] | None = None,
) -> Part:
    """The app with a managed identity instead of an access key."""
    return _start_functions(port, _with_identity(environment), app, data, options, listener)


def write_event_handlers(file: Path, functions_port: int, access_key: str = ACCESS_KEY) -> Path:
    """The emulator's settings, with authentication of its events."""
    written = _write_event_handlers(file, functions_port, access_key)
    document = json.loads(written.read_text())
    for handler in document["WebPubSub"]["Hubs"][HUB]["EventHandlers"]:
        handler["Auth"] = {"Type": "ManagedIdentity", "ManagedIdentity": {"Resource": AUDIENCE}}
    written.write_text(json.dumps(document))
    return written


def _with_identity(environment: Mapping[str, str]) -> dict[str, str]:
    string = environment.get("WEBPUBSUB_CONNECTION_STRING", "")
    values = dict(part.split("=", 1) for part in string.split(";") if part)
    endpoint = values.get("Endpoint", "")
    if not endpoint.startswith("https://"):
        return dict(environment)  # an emulator that the test itself has started
    issuer = issuers[-1]
    return {
        **environment,
        "WEBPUBSUB_CONNECTION_STRING": "",
        "WEBPUBSUB_ENDPOINT": endpoint,
        "WEBHOOK_ISSUER": f"{issuer}/{TENANT_ID}/",
        "WEBHOOK_AUDIENCE": AUDIENCE,
        "WEBHOOK_SUBJECT": PRINCIPAL_ID,
        "IDENTITY_ENDPOINT": f"{issuer}/msi/token",
        "IDENTITY_HEADER": "any-value",
    }


if __name__ == "__main__":
    sys.exit(main())

if FOLDER_VARIABLE in os.environ:
    _start_functions, _write_event_handlers = parts.start_functions, parts.write_event_handlers
    parts.start_webpubsub = start_webpubsub
    parts.start_functions = start_functions
    parts.write_event_handlers = write_event_handlers
