"""An app that Azure would reject is rejected locally, with an error message of one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from local.functions.errors import LoadError
from local.functions.loader import load
from local.parts import ROOT, free_ports
from tests import fetch
from tests.local.small_app import host_app, write_app

REQUEST = "req: func.HttpRequest"
REPLY = "-> func.HttpResponse"
PLAIN = "@app.route('x')\ndef f(req): ..."


@pytest.fixture(autouse=True)
def _fresh_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "function_app", raising=False)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("other = func.FunctionApp()", "exactly one FunctionApp at its top level, and names 2"),
        ("del app", "exactly one FunctionApp at its top level, and names 0"),
        (f"@app.route('x')\ndef f({REQUEST}) {REPLY} | None: ...", "expected plain HttpResponse"),
        (f"@app.route('x')\ndef f({REQUEST}) -> dict: ...", "expected plain HttpResponse"),
        (f"@app.route('x')\ndef f({REQUEST}) -> None: ...", "expected plain HttpResponse"),
        ("@app.route('x')\ndef f(request): ...", "parameters request belong to no binding"),
        (f"@app.route('x')\ndef f({REQUEST}, more=1): ...", "parameters more belong to no binding"),
        ("@app.route('x')\ndef f(): ...", "bindings req have no parameter"),
        ("@app.route('x')\ndef f(req: int): ...", "unlike the httpTrigger"),
        ("@app.route('x')\ndef f(req: 'Unknown'): ...", "'Unknown' is not defined"),
        ("@app.route('x')\ndef f(req, context: int): ...", "expected azure.functions.Context"),
        ("@app.route('x')\n@app.function_name('host')\ndef f(req): ...", "not 'host'"),
        ("@app.route('x')\n@app.function_name('1st')\ndef f(req): ...", "a name is a letter"),
        (f"{PLAIN}\n@app.function_name('f')\n{PLAIN}", "does not have a unique function name"),
        (
            "@app.queue_trigger('msg', 'q', connection='c')\ndef f(msg): ...",
            "queueTrigger needs Azure's own host",
        ),
    ],
)
def test_an_app_that_azure_rejects_is_rejected(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        load(write_app(tmp_path, source))


def test_a_folder_without_an_app_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"there is no function_app\.py"):
        load(tmp_path)


def test_functions_are_in_alphabetical_order_with_those_of_blueprints(tmp_path: Path) -> None:
    source = """
    bp = func.Blueprint()

    @bp.route("c")
    def charlie(req: func.HttpRequest) -> func.HttpResponse: ...

    @bp.timer_trigger("timer", "* * * * * *")
    def Alpha(timer: func.TimerRequest) -> None: ...

    app.register_functions(bp)

    @app.route("b")
    async def bravo(req: func.HttpRequest, context: func.Context) -> func.HttpResponse: ...
    """

    functions = load(write_app(tmp_path, source))

    assert [function.name for function in functions] == ["Alpha", "bravo", "charlie"]
    assert [function.is_async for function in functions] == [False, True, False]


def test_an_app_imports_its_own_packages(tmp_path: Path) -> None:
    (tmp_path / "realtime").mkdir()
    (tmp_path / "realtime/__init__.py").write_text("ROUTE = 'own'")
    source = """
    import realtime

    @app.route(realtime.ROUTE)
    def f(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(realtime.ROUTE)
    """
    with host_app(write_app(tmp_path, source)) as part:
        assert fetch.get(f"{part.url}/api/own").text == "own"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("@app.route('/x')\ndef f(req): ...", "a route does not start with '/'"),
        ("@app.route('x/{a:unknown}')\ndef f(req): ...", "no such route constraint"),
        ("@app.route('x/{a')\ndef f(req): ...", "the braces do not match"),
        ("@app.route('x//y')\ndef f(req): ...", "no empty segment"),
    ],
)
def test_the_command_ends_with_an_error_message(tmp_path: Path, source: str, message: str) -> None:
    no_prefix = {"extensions": {"http": {"routePrefix": ""}}}
    app = write_app(tmp_path, source, host=no_prefix)
    [port] = free_ports(1)
    command = [sys.executable, "-m", "local.functions", "--app", str(app), "--port", str(port)]

    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
    )

    assert result.returncode == 1
    assert message in result.stderr.splitlines()[-1]
