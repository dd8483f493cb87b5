"""The pytest fixtures, used by tests in a separate pytest process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TIMEOUT_SECONDS = 300
WITHOUT_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # the other installed ones start slowly
SOURCE = Path(__file__).parents[1] / "src"

THREAD_TESTS = """
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from azure.core.exceptions import HttpResponseError
from azure.messaging.webpubsubclient import WebPubSubClient
from azure.messaging.webpubsubclient.models import CallbackType, OpenClientError, SendMessageError
from azure.messaging.webpubsubservice import WebPubSubServiceClient
from webpubsub_emulator import Fault
from webpubsub_emulator.testing_events import EventResponse

HUB = "chat"


@pytest.fixture
def emulator({fixture}):
    return {fixture}


@pytest.fixture
def service(emulator):
    return WebPubSubServiceClient.from_connection_string(
        emulator.connection_string, hub=HUB, retry_total=0
    )


def connect(emulator, user, **claims):
    return WebPubSubClient(
        emulator.client_url(HUB, user, **claims), ack_timeout=2.0, start_timeout=2.0
    )


def test_rest_requests_work(emulator, service):
    assert not service.user_exists("ann")
    with connect(emulator, "ann"):
        assert service.user_exists("ann")


def test_functions_handle_events(emulator):
    @emulator.on(HUB, "connect")
    def accept(event):
        assert event.json["claims"]["sub"] == ["ann"]
        return {{"groups": ["lobby"]}}

    @emulator.on("Chat", "say")
    async def say(event):
        body = json.dumps({{"echo": event.text}})
        return EventResponse(body=body, content_type="application/json")

    received, arrived = [], threading.Event()
    client = connect(emulator, "ann")
    client.subscribe(
        CallbackType.SERVER_MESSAGE, lambda message: (received.append(message.data), arrived.set())
    )
    with client:
        client.send_event("say", "hi", "text")
        assert arrived.wait(30)

    assert received == [{{"echo": "hi"}}]
    assert emulator.wait_for_event("say").user_id == "ann"
    assert [event.name for event in emulator.received_events][:2] == ["connect", "say"]


def test_a_failing_function_is_a_failed_event(emulator):
    @emulator.on(HUB, "say")
    def say(event):
        return EventResponse(status=400)

    client = connect(emulator, "ann")
    with client, pytest.raises(SendMessageError):
        client.send_event("say", "hi", "text")


def test_a_client_can_be_rejected(emulator):
    @emulator.on(HUB, "connect")
    def reject(event):
        return EventResponse(status=403)

    with pytest.raises(OpenClientError):
        connect(emulator, "ann").open()


def test_faults_apply(emulator, service):
    emulator.add_fault(Fault("rest", "refuse", count=1, status=503))

    with pytest.raises(HttpResponseError) as refusal:
        service.send_to_all("hi")

    assert refusal.value.status_code == 503
    service.send_to_all("hi")


def test_the_clock_can_be_moved(emulator):
    url = emulator.client_url(HUB, "ann")
    emulator.advance_clock(2 * 3600)

    with pytest.raises(OpenClientError):
        WebPubSubClient(url, start_timeout=0.5).open()
    with connect(emulator, "ann"):
        pass


def test_dropped_connections_recover(emulator, service):
    received, arrived = [], threading.Event()
    client = connect(emulator, "ann", groups=["lobby"])
    client.subscribe(
        CallbackType.GROUP_MESSAGE, lambda message: (received.append(message.data), arrived.set())
    )
    with client:
        assert emulator.drop_connections(hub="other") == 0
        assert emulator.drop_connections(user_id="ann") == 1
        service.send_to_group("lobby", "missed")
        assert arrived.wait(30)

    assert received == ["missed"]


def test_events_are_sent_to_an_application(emulator):
    posted = []

    class App(BaseHTTPRequestHandler):
        def do_OPTIONS(self):
            self.send_response(200)
            self.send_header("WebHook-Allowed-Origin", "*")
            self.end_headers()

        def do_POST(self):
            posted.append((self.path, self.headers["ce-userId"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), App) as app:
        threading.Thread(target=app.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{{app.server_port}}/{{{{event}}}}?code=1"
        emulator.send_events_to(HUB, url, system_events=["connect"])
        with connect(emulator, "ann"):
            pass
        app.shutdown()

    assert posted == [("/connect?code=1", "ann")]
"""

OPTIONS = """
import pytest

@pytest.fixture
def webpubsub_options():
    return {"secondary_key": "s" * 40, "viewer": False}

@pytest.fixture
def webpubsub_arguments():
    return ["--access-key", "k" * 40, "--no-viewer"]

def test_options_reach_the_emulator(webpubsub):
    assert webpubsub.server.service.keys.secondary == "s" * 40

def test_arguments_reach_the_emulator(webpubsub_process):
    assert "AccessKey=" + "k" * 40 in webpubsub_process.connection_string

def test_two_emulators_have_different_ports(webpubsub, webpubsub_process):
    assert webpubsub.endpoint != webpubsub_process.endpoint
"""

FAILING_START = """
import pytest
from webpubsub_emulator.testing import EmulatorProcess

def test_a_failed_start_raises_an_error_with_the_reason():
    with pytest.raises(RuntimeError, match="at least 32 bytes"):
        EmulatorProcess(["--access-key", "short"])
"""

LAZY = """
import sys

def test_the_plugin_does_not_import_the_emulator():
    assert "pytest_webpubsub" in sys.modules
    assert "webpubsub_emulator" not in sys.modules
"""


@pytest.mark.timeout(TIMEOUT_SECONDS + 20)
@pytest.mark.parametrize(
    ("content", "passed"),
    [
        pytest.param(THREAD_TESTS.format(fixture="webpubsub"), 8, id="thread"),
        pytest.param(THREAD_TESTS.format(fixture="webpubsub_process"), 8, id="process"),
        pytest.param(OPTIONS, 3, id="options"),
        pytest.param(FAILING_START, 1, id="failing_start"),
        pytest.param(LAZY, 1, id="lazy"),
    ],
)
def test_fixtures(tmp_path: Path, content: str, passed: int) -> None:
    (tmp_path / "test_app.py").write_text(content)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "pytest_webpubsub", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTEST_ADDOPTS": "", **WITHOUT_PLUGINS},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )

    assert f"{passed} passed" in result.stdout, result.stdout + result.stderr
    assert result.returncode == 0
