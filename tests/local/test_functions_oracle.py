"""This host and Azure's runtime library accept the same apps and give the same responses.

The library is azure-functions-runtime, which Azure uses from Python 3.13 on. It needs no host when
it receives the SDK's values directly. That entry point is not a documented interface, so only a
test uses it.
"""

import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.functions.meta import Datum
from azure_functions_runtime import (
    native_invocation,
    start_threadpool_executor,
    stop_threadpool_executor,
)
from azure_functions_runtime.bindings.meta import load_binding_registry
from azure_functions_runtime.functions import Registry
from azure_functions_runtime.loader import index_function_app
from azure_functions_runtime.native_invocation import invocation_request_native

from local.functions.errors import LoadError
from local.functions.loader import load
from local.functions.worker import Worker
from tests.local.small_app import write_app

# The three names of its wire format that are needed to load an app.
WIRE = SimpleNamespace(BindingInfo=SimpleNamespace(out=1, inout=2, undefined=None))

REQUEST = "req: func.HttpRequest"
BARE = "@app.route('x')\ndef f(req): ..."
SOURCES = {
    "async": f"@app.route('x')\nasync def f({REQUEST}) -> func.HttpResponse: ...",
    "sync": f"@app.route('x')\ndef f({REQUEST}) -> func.HttpResponse: ...",
    "bare": BARE,
    "text": f"@app.route('x')\ndef f({REQUEST}) -> str: ...",
    "context": f"@app.route('x')\ndef f({REQUEST}, context: func.Context): ...",
    "timer": "@app.timer_trigger('t', '* * * * * *')\ndef f(t: func.TimerRequest) -> None: ...",
    "optional response": f"@app.route('x')\ndef f({REQUEST}) -> func.HttpResponse | None: ...",
    "dict response": f"@app.route('x')\ndef f({REQUEST}) -> dict: ...",
    "no response": f"@app.route('x')\ndef f({REQUEST}) -> None: ...",
    "wrong request": "@app.route('x')\ndef f(req: int): ...",
    "wrong timer": "@app.timer_trigger('t', '* * * * * *')\ndef f(t: func.HttpRequest): ...",
    "wrong context": "@app.route('x')\ndef f(req, context: int): ...",
    "other name": "@app.route('x')\ndef f(request: func.HttpRequest): ...",
    "one too many": f"@app.route('x')\ndef f({REQUEST}, more=1): ...",
    "unwrapped": "def wrap(g):\n    def f(*args, **kwargs): ...\n    return f\n"
    f"@app.route('x')\n@wrap\ndef f({REQUEST}): ...",
    "unknown type": "@app.route('x')\ndef f(req: 'Unknown'): ...",
    "two apps": "other = func.FunctionApp()",
    "no app": "del app",
    "same name": f"{BARE}\n@app.function_name('f')\n{BARE}",
}  # fmt: skip

CALLS = """
@app.route("a")
async def plain(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("hello " + req.params["who"])

@app.route("b")
def sync(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return func.HttpResponse(
        json.dumps([req.method, req.url, dict(req.headers), dict(req.route_params),
                    req.get_body().decode(), context.function_name]),
        mimetype="application/json", status_code=201,
    )

@app.route("c")
async def headers(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse(b"raw", headers={"X-A": "1", "Content-Type": "text/html"})
    response.headers.add("x-a", "2")
    response.headers.add("Set-Cookie", "a=1; Path=/; HttpOnly")
    return response

@app.route("d")
async def text(req: func.HttpRequest) -> str:
    return "just text"

@app.route("e")
async def nothing(req: func.HttpRequest):
    return None

@app.route("f")
async def number(req: func.HttpRequest):
    return 7

@app.route("g")
async def broken(req: func.HttpRequest):
    raise RuntimeError("broken")

@app.route("h")
def generator(req: func.HttpRequest):
    yield func.HttpResponse("never")
"""


@pytest.fixture(autouse=True)
def _fresh_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def load_in_azure(app: Path) -> None:
    load_binding_registry()
    sys.modules.pop("function_app", None)
    sys.path.insert(0, str(app))
    registry = Registry()
    for function in index_function_app(str(app / "function_app.py")):
        registry.add_indexed_function(function, WIRE)
    native_invocation._functions = registry  # noqa: SLF001 - its entry point reads the functions here


def load_here(app: Path) -> dict[str, Any]:
    sys.modules.pop("function_app", None)
    return {function.name: function for function in load(app)}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_the_same_apps_are_accepted(tmp_path: Path, source: str) -> None:
    app = write_app(tmp_path, source)

    assert accepts(lambda: load_here(app), LoadError) == accepts(
        lambda: load_in_azure(app), Exception
    )


def accepts(loading: Any, rejection: type[Exception]) -> bool:
    try:
        loading()
    except rejection:
        return False
    return True


@pytest.mark.parametrize(
    "name", ["plain", "sync", "headers", "text", "nothing", "number", "broken", "generator"]
)
async def test_the_same_requests_get_the_same_responses(tmp_path: Path, name: str) -> None:
    app = write_app(tmp_path, CALLS)

    ours = await respond_here(app, name)
    theirs = await respond_in_azure(app, name)

    assert ours == theirs


def request() -> Datum:
    def text(values: Mapping[str, str]) -> dict[str, Datum]:
        return {name: Datum(value, "string") for name, value in values.items()}

    parts = {
        "method": Datum("POST", "string"),
        "url": Datum("http://localhost/api/b?who=ann", "string"),
        "headers": text({"x-one": "1"}),
        "query": text({"who": "ann"}),
        "params": text({"room": "lobby"}),
        "body": Datum(b"body", "bytes"),
    }
    return Datum(parts, "http")


async def respond_here(app: Path, name: str) -> Any:
    function = load_here(app)[name]
    try:
        return plain(await Worker().respond(function, request()))
    except Exception as error:  # noqa: BLE001 - the host sends an empty 500 for each of them
        return failed(error)


async def respond_in_azure(app: Path, name: str) -> Any:
    load_in_azure(app)
    identity = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
    start_threadpool_executor()
    ok, response, _, error, _ = await invocation_request_native(
        "1", identity, [("req", request())], {}
    )
    stop_threadpool_executor()
    return plain(response) if ok else failed(error)


def failed(error: object) -> str:
    # The texts of the two errors differ.
    print(error)
    return "failed"


def plain(response: Datum) -> Any:
    """A response as comparable values."""
    if response.type != "http":
        return response.type, response.value
    value = response.value
    return (
        value["status_code"].value,
        {name: header.value for name, header in value["headers"].items()},
        [cookie.output() for cookie in value["cookies"] or ()],
        value["body"].value,
    )
