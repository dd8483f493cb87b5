"""A client generator and a linter accept the API document."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from local.parts import ROOT, Stack, node
from tests import fetch

TOOLS = ROOT / "tests/openapi"
REDOCLY = TOOLS / "node_modules/@redocly/cli/bin/cli.js"
PACKAGE = "townsquare_api_client"

MODULES = {
    "public": {"health", "negotiate_get", "negotiate_post", "stream_list", "stream_show"},
    "session": {
        "direct_history",
        "room_history",
        "room_list",
        "room_users",
        "stream_subscribe",
        "stream_unsubscribe",
        "user_online",
    },
    "server": {
        "publish",
        "room_member_delete",
        "room_member_put",
        "room_message",
        "room_put",
        "user_ban_delete",
        "user_ban_put",
        "user_message",
    },
}
CLASSES = {
    "BanResponse",
    "ConversationList",
    "ErrorResponse",
    "HistoryPage",
    "MessageAccepted",
    "NegotiateRequest",
    "NegotiateResponse",
    "PublishResponse",
    "Room",
    "RoomSettings",
    "RoomUsers",
    "ServerMessageRequest",
    "StreamList",
    "SubscribeResponse",
}


@pytest.fixture(scope="module")
def document_file(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document as the running app serves it."""
    file = tmp_path_factory.mktemp("document") / "openapi.json"
    file.write_text(fetch.get(f"{stack.url}/api/openapi.json").raise_for_status().text, "utf-8")
    return file


@pytest.fixture(scope="module")
def client_package(document_file: Path) -> Iterator[ModuleType]:
    """The package that openapi-python-client generates."""
    folder = document_file.parent
    config = folder / "config.json"
    config.write_text(json.dumps({"post_hooks": []}))
    generated = subprocess.run(
        [
            Path(sys.executable).with_name("openapi-python-client"),
            *("generate", "--meta", "none", "--fail-on-warning"),
            *("--path", document_file, "--output-path", folder / PACKAGE, "--config", config),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert generated.returncode == 0, generated.stdout + generated.stderr
    sys.path.insert(0, str(folder))
    yield importlib.import_module(PACKAGE)
    sys.path.remove(str(folder))


def test_a_generated_client_has_sensible_names(client_package: ModuleType) -> None:
    folder = Path(str(client_package.__file__)).parent
    models = importlib.import_module(f"{PACKAGE}.models")

    for tag, expected in MODULES.items():
        assert expected <= {file.stem for file in (folder / "api" / tag).glob("*.py")}
    assert set(models.__all__) >= CLASSES
    assert [name for name in models.__all__ if any(map(str.isdigit, name))] == []


def test_a_generated_client_calls_the_app(
    client_package: ModuleType, stack: Stack, room: str
) -> None:
    def call(module: str) -> ModuleType:
        return importlib.import_module(f"{PACKAGE}.api.{module}")

    models = importlib.import_module(f"{PACKAGE}.models")
    anyone = client_package.Client(base_url=stack.url)
    request = models.NegotiateRequest(user_id="ann", room=room)
    entered = call("public.negotiate_post").sync(client=anyone, body=request)
    ann = client_package.AuthenticatedClient(base_url=stack.url, token=entered.session)

    text = models.ServerMessageRequest(content="good morning", from_="school")
    sent = call("server.room_message").sync(room, client=ann, body=text)
    page = call("session.room_history").sync(room, client=ann, limit=10)
    refused = call("session.room_history").sync("-", client=ann)

    assert entered.user_id.startswith("ann-")
    assert (sent.seq, sent.status) == (1, "sent")
    assert [(one.from_, one.content) for one in page.messages] == [("school", "good morning")]
    assert isinstance(refused, models.ErrorResponse)
    assert refused.error.code == "invalid_room"


def lint(document: Path, folder: Path) -> dict[str, int]:
    """How many problems Redocly finds by its recommended rules."""
    if not REDOCLY.exists():
        reason = "the linter is not installed: run `make test`, or `npm ci` in tests/openapi"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    for name in ("redocly.yaml", ".redocly.lint-ignore.yaml"):
        shutil.copy(TOOLS / name, folder)
    shutil.copy(document, folder)

    linted = subprocess.run(
        [node(), REDOCLY, "lint", document.name, "--format", "json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"REDOCLY_TELEMETRY": "off", "PATH": ""},
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
    return dict(json.loads(linted.stdout)["totals"])


def test_the_openapi_document_passes_the_recommended_rules(
    document_file: Path, tmp_path: Path
) -> None:
    assert lint(document_file, tmp_path) == {"errors": 0, "warnings": 0, "ignored": 2}


def test_the_asyncapi_document_passes_the_recommended_rules(tmp_path: Path) -> None:
    found = lint(ROOT / "docs/asyncapi.json", tmp_path)

    assert found == {"errors": 0, "warnings": 0, "ignored": 0}
