"""HTTP functions behave locally as in Azure."""

import asyncio
import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from local.parts import Part
from tests import fetch
from tests.local.small_app import host_app, write_app

SOURCE = """
waiting = []
barrier = threading.Barrier(4)

@app.route("echo/{first?}/{second?}")
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps({
        "method": req.method, "url": req.url, "headers": dict(req.headers),
        "params": dict(req.params), "route": dict(req.route_params),
        "body": req.get_body().decode(),
    }))

@app.route("post-only", methods=["POST"])
async def post_only(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("posted")

@app.route("double/a")
async def b_second(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("b")

@app.route("double/{anything}")
async def A_first(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("A")

@app.route("headers")
async def headers(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse(status_code=201, headers={"X-Own": "1", "X-Framed": "by the app"})
    response.headers.add("X-Own", "2")
    response.headers.add("Set-Cookie", "a=1; Path=/; HttpOnly; SameSite=Lax; Max-Age=60")
    response.headers.add("Set-Cookie", "b=2; Secure")
    return response

@app.route("nothing")
async def nothing(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(status_code=204)

@app.route("broken")
async def broken(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("details about " + req.params["whom"])

@app.route("nothing_at_all")
async def nothing_at_all(req: func.HttpRequest) -> func.HttpResponse:
    return None

@app.route("context")
def context(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return func.HttpResponse(json.dumps([
        context.function_name, context.function_directory, len(context.invocation_id),
        context.retry_context.retry_count, threading.current_thread() is threading.main_thread(),
    ]))

@app.route("wait")
async def wait(req: func.HttpRequest) -> func.HttpResponse:
    waiting.append(req)
    async with asyncio.timeout(20):
        while len(waiting) < 4:
            await asyncio.sleep(0.01)
    return func.HttpResponse("done")

@app.route("blocking")
def blocking(req: func.HttpRequest) -> func.HttpResponse:
    barrier.wait(timeout=20)
    return func.HttpResponse("done")

@app.route("off")
async def off(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("on")

@app.route("environment")
async def environment(req: func.HttpRequest) -> func.HttpResponse:
    names = ("FROM_BOTH", "FROM_FILE", "AZURE_FUNCTIONS_ENVIRONMENT")
    return func.HttpResponse(json.dumps([os.environ.get(name) for name in names] + [os.getcwd()]))
"""
HOST = {"extensions": {"http": {"customHeaders": {"X-Framed": "by the host", "X-Host": "local"}}}}
SETTINGS = {
    "Values": {
        "FROM_FILE": "file",
        "FROM_BOTH": "file",
        "AzureWebJobs.off.Disabled": "true",
        "PYTHON_THREADPOOL_THREAD_COUNT": "4",
    }
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Part]:
    app = write_app(tmp_path_factory.mktemp("app"), SOURCE, host=HOST, settings=SETTINGS)
    with host_app(app, environment={"FROM_BOTH": "environment"}) as part:
        yield part


@pytest.fixture
def browser(host: Part) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{host.url}/api", timeout=30) as client:
        yield client


def test_a_function_receives_the_request_as_in_azure(host: Part, browser: httpx.Client) -> None:
    headers = [("X-Two", "1"), ("X-Two", "2")]
    received = browser.post(
        "/ECHO/a%20b/c%2Fd?q=1&q=2&empty=", content=b"hello", headers=headers
    ).json()

    assert received["method"] == "POST"
    assert received["url"] == f"{host.url}/api/ECHO/a%20b/c%2Fd?q=1&q=2&empty="
    assert received["headers"]["x-two"] == "1,2"
    assert all(name == name.lower() for name in received["headers"])
    assert received["params"] == {"q": "1,2"}
    assert received["route"] == {"first": "a b", "second": "c%2Fd"}
    assert received["body"] == "hello"


def test_an_absent_optional_value_is_missing(browser: httpx.Client) -> None:
    assert browser.get("/echo/one").json()["route"] == {"first": "one"}


def test_a_body_without_a_content_length_is_empty(browser: httpx.Client) -> None:
    assert browser.post("/echo", content=iter([b"in ", b"chunks"])).json()["body"] == ""


def test_a_body_with_a_content_encoding_is_unchanged(browser: httpx.Client) -> None:
    packed = browser.post("/echo", content=b"plain", headers={"Content-Encoding": "gzip"})

    assert packed.json()["body"] == "plain"


def test_a_body_above_the_limit_is_rejected_before_it_is_sent(host: Part) -> None:
    connection = http.client.HTTPConnection(host.address, timeout=30)
    connection.putrequest("POST", "/api/echo")
    connection.putheader("Content-Length", str(100 * 1024 * 1024 + 1))
    connection.endheaders()

    assert connection.getresponse().status == 413
    connection.close()


def test_a_wrong_method_is_not_found(browser: httpx.Client) -> None:
    assert browser.post("/post-only").text == "posted"
    assert browser.get("/post-only").status_code == 404
    assert browser.options("/post-only").status_code == 404


def test_the_first_function_by_name_handles_an_ambiguous_route(browser: httpx.Client) -> None:
    assert browser.get("/double/a").text == "A"


def test_only_the_last_of_repeated_headers_and_every_cookie_is_sent(browser: httpx.Client) -> None:
    response = browser.get("/headers")

    assert response.status_code == 201
    assert response.headers.get_list("X-Own") == ["2"]
    assert response.headers.get_list("Set-Cookie") == [
        "a=1; max-age=60; domain=; path=/; samesite=lax; httponly",
        "b=2; domain=; path=; secure",
    ]


def test_the_headers_of_host_json_are_added_unless_the_app_sets_them(browser: httpx.Client) -> None:
    response = browser.get("/headers")

    assert response.headers["X-Host"] == "local"
    assert response.headers.get_list("X-Framed") == ["by the app"]


def test_a_204_has_no_body(browser: httpx.Client) -> None:
    response = browser.get("/nothing")

    assert (response.status_code, response.content) == (204, b"")


def test_an_exception_is_an_empty_500_and_one_log_entry(host: Part, browser: httpx.Client) -> None:
    response = browser.get("/broken?whom=ann")

    assert (response.status_code, response.content) == (500, b"")
    host.wait_for_output(lambda line: line == "RuntimeError: details about ann")
    assert len([line for line in host.output if "the function broken failed" in line]) == 1


def test_a_function_that_returns_none_is_a_500(browser: httpx.Client) -> None:
    response = browser.get("/nothing_at_all")

    assert (response.status_code, response.content) == (500, b"")


def test_a_sync_function_runs_in_a_thread_and_receives_its_context(browser: httpx.Client) -> None:
    name, directory, length, retries, in_main_thread = browser.get("/context").json()

    assert (name, length, retries, in_main_thread) == ("context", 36, 0, False)
    assert Path(directory).is_dir()


@pytest.mark.parametrize("route", ["wait", "blocking"])
async def test_requests_are_handled_concurrently(host: Part, route: str) -> None:
    """Each request waits until four have started."""
    async with httpx.AsyncClient(base_url=f"{host.url}/api", timeout=30) as client:
        responses = await asyncio.gather(*(client.get(f"/{route}") for _ in range(4)))

    assert {response.text for response in responses} == {"done"}


def test_a_disabled_function_is_not_found(browser: httpx.Client) -> None:
    assert browser.get("/off").status_code == 404


def test_the_environment_overrides_the_settings_file(browser: httpx.Client) -> None:
    from_both, from_file, stage, folder = browser.get("/environment").json()

    assert (from_both, from_file, stage) == ("environment", "file", "Development")
    assert (Path(folder) / "function_app.py").exists()


def test_the_host_lists_its_functions(host: Part) -> None:
    listed = [line.strip() for line in host.output]

    assert f"echo: [ALL] {host.url}/api/echo/{{first?}}/{{second?}}" in listed
    assert f"post_only: [POST] {host.url}/api/post-only" in listed
    assert not [line for line in listed if line.startswith("off:")]


def test_the_host_listens_on_one_address_only(host: Part) -> None:
    port = host.address.split(":")[1]

    with pytest.raises(httpx.ConnectError):
        fetch.get(f"http://127.0.0.2:{port}/api/echo")


KEYED = """
@app.route("open")
async def open_to_all(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(req.params.get("code", ""))

@app.route("locked", methods=["GET", "OPTIONS"], auth_level=func.AuthLevel.FUNCTION)
async def locked(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("locked")
"""


def test_with_auth_enabled_a_function_requires_its_key(tmp_path: Path) -> None:
    app = write_app(tmp_path, KEYED)
    with host_app(app, options=["--enable-auth", "--key", "the-key"]) as part:
        locked = f"{part.url}/api/locked"

        assert fetch.get(locked, params={"code": "the-key"}).text == "locked"
        assert fetch.get(locked, headers={"x-functions-key": "the-key"}).text == "locked"
        assert fetch.options(locked, params={"code": "the-key"}).status_code == 200
        refused = fetch.get(locked, params={"code": "wrong"})
        assert (refused.status_code, refused.content) == (401, b"")
        not_ascii = fetch.get(locked, headers=[(b"x-functions-key", "séame".encode())])
        assert not_ascii.status_code == 401
        both = fetch.get(locked, params={"code": "the-key"}, headers={"x-functions-key": "no"})
        assert both.status_code == 401
        assert fetch.get(f"{part.url}/api/open", params={"code": "wrong"}).text == "wrong"


def test_without_auth_no_function_requires_a_key(tmp_path: Path) -> None:
    with host_app(write_app(tmp_path, KEYED)) as part:
        assert fetch.get(f"{part.url}/api/locked").text == "locked"


def test_a_generated_key_is_printed(tmp_path: Path) -> None:
    with host_app(write_app(tmp_path, KEYED), options=["--enable-auth"]) as part:
        [line] = part.wait_for_output(lambda line: line.startswith("Function key: "))
        key = line.removeprefix("Function key: ")

        assert fetch.get(f"{part.url}/api/locked", params={"code": key}).text == "locked"


PAGE = "https://page.example"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
HOOK = """
@app.route("hook", methods=["OPTIONS", "POST"])
async def hook(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("answered", headers={"WebHook-Allowed-Origin": "*"})
"""


def test_cors_answers_preflights_and_allows_the_listed_origin(tmp_path: Path) -> None:
    host = {"CORS": f"{PAGE},https://other.example", "CORSCredentials": True}
    with host_app(write_app(tmp_path, HOOK, settings={"Host": host})) as part:
        hook = f"{part.url}/api/hook"
        preflight = fetch.options(hook, headers=PREFLIGHT)
        other = fetch.options(hook, headers={**PREFLIGHT, "Origin": "https://evil.example"})
        posted = fetch.post(hook, headers={"Origin": PAGE})

        assert (preflight.status_code, preflight.content) == (204, b"")
        assert preflight.headers["Access-Control-Allow-Origin"] == PAGE
        assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
        assert other.status_code == 204
        assert "Access-Control-Allow-Origin" not in other.headers
        assert posted.text == "answered"
        assert posted.headers["Access-Control-Allow-Origin"] == PAGE
        assert posted.headers["Access-Control-Allow-Credentials"] == "true"
        assert posted.headers["Vary"] == "Origin"


@pytest.mark.parametrize("settings", [{}, {"Host": {"CORS": PAGE}}])
def test_the_validation_request_of_a_webhook_reaches_the_function(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    with host_app(write_app(tmp_path, HOOK, settings=settings)) as part:
        preflight = fetch.options(
            f"{part.url}/api/hook", headers={"WebHook-Request-Origin": "hub.example"}
        )

        assert (preflight.text, preflight.headers["WebHook-Allowed-Origin"]) == ("answered", "*")


def test_without_cors_a_preflight_is_an_ordinary_request(tmp_path: Path) -> None:
    with host_app(write_app(tmp_path, HOOK)) as part:
        assert fetch.options(f"{part.url}/api/hook", headers=PREFLIGHT).text == "answered"


ROOT_APP = """
@app.route("{ignored:maxlength(0)?}")
async def page(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("the page")

@app.route("api/negotiate")
async def negotiate(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("negotiated")
"""


def test_a_function_can_use_the_root_path_without_a_prefix(tmp_path: Path) -> None:
    no_prefix = {"extensions": {"http": {"routePrefix": ""}}}
    with host_app(write_app(tmp_path, ROOT_APP, host=no_prefix)) as part:
        assert fetch.get(part.url).text == "the page"
        assert fetch.get(f"{part.url}/api/negotiate").text == "negotiated"
        assert fetch.get(f"{part.url}/elsewhere").status_code == 404


def test_running_requests_complete_before_the_host_stops(tmp_path: Path) -> None:
    slow = """
    @app.route("slow")
    async def slow(req: func.HttpRequest) -> func.HttpResponse:
        logging.info("started")
        await asyncio.sleep(0.4)
        return func.HttpResponse("finished")
    """
    with host_app(write_app(tmp_path, slow)) as part, httpx.Client(timeout=30) as client:
        with ThreadPoolExecutor() as threads:
            response = threads.submit(client.get, f"{part.url}/api/slow")
            part.wait_for_output(lambda line: line.endswith("started"))
            part.stop()

            assert response.result().text == "finished"
        assert part.process.returncode == 0
        assert not [line for line in part.output if "Traceback" in line]


def test_json_of_any_size_and_script_arrives_unchanged(browser: httpx.Client) -> None:
    text = json.dumps({"who": "ann", "says": "žluťoučký 🐎" * 10_000})

    assert browser.post("/echo", content=text.encode()).json()["body"] == text
