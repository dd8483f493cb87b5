"""host.json and local.settings.json: applied, invalid and ignored settings."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.functions.host_json import read_host_settings
from local.parts import ROOT, free_ports, start_functions
from tests import fetch
from tests.local.small_app import host_app, write_app

ENVIRONMENT = """
@app.route("environment/{name}")
async def environment(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(os.environ.get(req.route_params["name"], "not set"))
"""


def start_and_fail(app: Path, *options: str) -> str:
    """Start the host and return its error output."""
    result = subprocess.run(
        [sys.executable, "-m", "local.functions", "--app", str(app), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("host.json", "{", "is not JSON"),
        ("host.json", "[]", "expected a JSON object"),
        ("host.json", '{"extensions": []}', "extensions is []; expected dict"),
        ("host.json", '{"extensions": {"http": {"routePrefix": 1}}}', "extensions.http.routePre"),
        ("host.json", '{"functionTimeout": "soon"}', "functionTimeout is 'soon'; expected"),
        ("host.json", '{"logging": {"logLevel": {"default": "Loud"}}}', "logging.logLevel.default"),
        ("host.json", '{"extensions": {"http": {"maxConcurrentRequests": 0}}}', "expected a num"),
        ("local.settings.json", '{"Host": {"CORS": ["*"]}}', "CORS is ['*']; expected a string"),
        ("local.settings.json", '{"Host": {"LocalHttpPort": "x"}}', "LocalHttpPort is 'x'"),
        ("local.settings.json", '{"Host": {"CORSCredentials": "no"}}', "expected true or false"),
        ("local.settings.json", '{"Values": {"A": {}}}', "Values.A is {}; expected a string"),
        ("local.settings.json", '{"ConnectionStrings": {"A": 1}}', "ConnectionStrings.A"),
        ("local.settings.json", '{"IsEncrypted": true}', "func settings decrypt"),
    ],
)  # fmt: skip
def test_an_invalid_file_is_named_in_one_line(
    tmp_path: Path, file: str, text: str, problem: str
) -> None:
    app = write_app(tmp_path, ENVIRONMENT)
    (app / file).write_text(text)

    output = start_and_fail(app, "--port", str(free_ports(1)[0]))

    assert problem in output
    assert len(output.splitlines()) == 1


def test_a_port_or_address_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    app = write_app(tmp_path, ENVIRONMENT)

    assert "cannot listen on 192.0.2.1" in start_and_fail(app, "--address", "192.0.2.1")
    assert "cannot listen on 127.0.0.1, port 99999" in start_and_fail(app, "--port", "99999")


def test_http_concurrency_must_be_a_number(tmp_path: Path) -> None:
    app = write_app(tmp_path, ENVIRONMENT, settings={"Values": {"HTTP_CONCURRENCY": "many"}})

    assert "HTTP_CONCURRENCY is 'many'" in start_and_fail(app, "--port", str(free_ports(1)[0]))


def test_host_json_may_have_comments(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text(
        '\ufeff// first\n{"extensions": /* here */ {"http": {"routePrefix": "a//b/*c*/"}}} // end',
        encoding="utf-8",
    )

    assert read_host_settings(tmp_path).route_prefix == "a//b/*c*"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [('"00:05:00"', 300.0), ('"1.00:00:00"', 86_400.0), ("-1", float("inf")),
     ('"-1"', float("inf")), ('"00:00:01.5"', 1.5)],
)  # fmt: skip
def test_the_function_timeout(tmp_path: Path, written: str, seconds: float) -> None:
    (tmp_path / "host.json").write_text(f'{{"functionTimeout": {written}}}')

    assert read_host_settings(tmp_path).function_timeout_seconds == seconds


def test_every_ignored_key_of_host_json_is_named(tmp_path: Path) -> None:
    host = {
        "version": "2.0",
        "singleton": {"lockAcquisitionTimeout": "00:01:00"},
        "extensions": {"http": {"routePrefix": "api", "hsts": {}}, "queues": {}},
        "logging": {"logLevel": {}, "applicationInsights": {}},
    }
    with host_app(write_app(tmp_path, ENVIRONMENT, host=host)) as part:
        [line] = part.wait_for_output(lambda line: "Ignored settings" in line)

        assert line == (
            "Ignored settings of host.json: singleton, extensions.http.hsts, extensions.queues, "
            "logging.applicationInsights"
        )


def test_without_ignored_keys_nothing_is_printed(tmp_path: Path) -> None:
    with host_app(write_app(tmp_path, ENVIRONMENT, host={"version": "2.0"})) as part:
        assert not [line for line in part.output if "Ignored" in line]


def test_connection_strings_become_settings_as_under_core_tools(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "Values": {"NUMBER": 1, "EMPTY": None},
        "ConnectionStrings": {
            "Plain": "Server=a",
            "Described": {"ConnectionString": "Server=b", "ProviderName": "System.Data.SqlClient"},
        },
    }
    with host_app(write_app(tmp_path, ENVIRONMENT, settings=settings)) as part:
        values = [
            fetch.get(f"{part.url}/api/environment/{name}").text
            for name in (
                "ConnectionStrings:Plain",
                "ConnectionStrings:Described",
                "NUMBER",
                "EMPTY",
            )
        ]

        assert values == ["Server=a", "Server=b", "1", ""]


def test_the_host_listens_on_the_address_of_local_settings(tmp_path: Path) -> None:
    [port] = free_ports(1)
    host = {"LocalHttpAddress": "127.0.0.2", "LocalHttpPort": port}
    app = write_app(tmp_path, ENVIRONMENT, settings={"Host": host})
    part = start_functions(0, {}, app)
    part.url = f"http://127.0.0.2:{port}"
    try:
        part.wait()

        assert fetch.get(f"{part.url}/api/environment/X").text == "not set"
        with pytest.raises(httpx.ConnectError):
            fetch.get(f"http://127.0.0.1:{port}/api/environment/X")
    finally:
        part.stop()
