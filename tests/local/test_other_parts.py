"""Other programs can replace our Functions host and our emulator."""

import sys
from pathlib import Path

import pytest

from local.other_parts import FUNCTIONS_HOST, WEBPUBSUB_EMULATOR, UnsupportedOptionError
from local.parts import EMULATOR_SOURCE, Ports, start_functions, start_stack, start_webpubsub
from local.ports import free_ports
from local.process import ROOT, PartError
from tests import fetch
from tests.local.small_app import write_app


@pytest.fixture
def _other_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use our parts as other programs: started by a command, in another folder."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{EMULATOR_SOURCE}")
    python = sys.executable
    monkeypatch.setenv(FUNCTIONS_HOST, f"{python} -m local.functions --port {{port}}")
    emulator = f"{python} -m webpubsub_emulator --port {{port}} --settings appsettings.json"
    monkeypatch.setenv(WEBPUBSUB_EMULATOR, emulator)


@pytest.mark.usefixtures("_other_parts")
def test_the_stack_runs_with_other_parts(tmp_path: Path) -> None:
    settings = {"WEATHER_SCHEDULE": "0 0 0 1 1 *"}
    stack = start_stack(Ports.free(), tmp_path, keep=False, settings=settings)
    try:
        stack.wait()
        health = fetch.get(f"{stack.url}/api/health").json()
        negotiated = fetch.post(f"{stack.url}/api/negotiate", json={"user_id": "ann"}).json()

        assert health["status"] == "ok"
        assert negotiated["url"].startswith(stack.webpubsub_url.replace("http", "ws"))
        assert "BlobEndpoint=http://127.0.0.1:" in stack.environment["AzureWebJobsStorage"]
        assert len(stack.parts) == 4
        assert stack.blobs is not None
        assert stack.blobs.is_ready()
    finally:
        stack.stop()


@pytest.mark.usefixtures("_other_parts")
def test_an_option_that_only_our_host_has_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOptionError, match="has no options --enable-auth"):
        start_functions(free_ports(1)[0], {}, write_app(tmp_path, ""), options=["--enable-auth"])


@pytest.mark.parametrize("command", ["", "no-such-program --port {port}"])
def test_a_command_that_does_not_exist_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv(FUNCTIONS_HOST, command)
    monkeypatch.setenv(WEBPUBSUB_EMULATOR, command)
    (tmp_path / "settings.json").write_text("{}")

    with pytest.raises(PartError, match=r"FUNCTIONS_HOST is .* expected a command"):
        start_functions(1, {}, tmp_path)
    with pytest.raises(PartError, match=r"WEBPUBSUB_EMULATOR is .* expected a command"):
        start_webpubsub(1, tmp_path / "settings.json")
