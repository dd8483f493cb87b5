"""Invalid declarations: one function is in error, or the whole app is rejected."""

from pathlib import Path
from typing import Any

import pytest

from tests import fetch
from tests.local.small_app import host_app, write_app

GOOD = """
@app.route("good")
async def good(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("good")
"""


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("@app.timer_trigger('t', 'soon')\ndef bad(t): ...", "is not NCRONTAB"),
        ("@app.timer_trigger('t', '5/ * * * * *')\ndef bad(t): ...", "is not NCRONTAB"),
        ("@app.timer_trigger('t', '%WHEN%')\ndef bad(t): ...", "%WHEN% is not set"),
        ("@app.route('admin/x')\ndef bad(req): ...", "conflicts with the built-in routes"),
        ("@app.route('Runtimes')\ndef bad(req): ...", "conflicts with the built-in routes"),
        ("@app.route('administrators')\ndef bad(req): ...", "conflicts with the built-in routes"),
    ],
)
def test_a_function_in_error_does_not_stop_the_others(
    tmp_path: Path, source: str, problem: str
) -> None:
    with host_app(write_app(tmp_path, f"{GOOD}\n{source}")) as part:
        [line] = part.wait_for_output(lambda line: "is in error" in line)
        admin = f"{part.url}/admin/functions"

        assert fetch.get(f"{part.url}/api/good").text == "good"
        assert "The function bad is in error" in line
        assert problem in line
        assert problem in fetch.get(f"{admin}/bad/status").json()["errors"][0]
        assert fetch.get(f"{admin}/good/status").json() == {}
        assert problem in fetch.get(f"{part.url}/admin/host/status").json()["errors"][0]


def test_the_second_function_with_the_same_route_is_in_error(tmp_path: Path) -> None:
    source = """
    @app.route("same/{id}", methods=["GET", "POST"])
    async def first(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("first")

    @app.route("Same/{ID}", methods=["POST", "PUT"])
    async def second(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("second")

    @app.route("same/{id}", methods=["DELETE"])
    async def third(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("third")
    """
    with host_app(write_app(tmp_path, source)) as part:
        part.wait_for_output(
            lambda line: "The function second is in error" in line and "first" in line
        )

        assert fetch.post(f"{part.url}/api/same/1").text == "first"
        assert fetch.put(f"{part.url}/api/same/1").status_code == 404
        assert fetch.delete(f"{part.url}/api/same/1").text == "third"


def test_a_setting_in_a_route_is_resolved(tmp_path: Path) -> None:
    source = GOOD.replace('"good")\nasync', '"%WHERE%")\nasync')
    with host_app(write_app(tmp_path, source), environment={"WHERE": "elsewhere"}) as part:
        assert fetch.get(f"{part.url}/api/elsewhere").text == "good"


def test_host_json_can_name_the_functions_that_run(tmp_path: Path) -> None:
    source = (
        GOOD
        + """
@app.route("other")
async def other(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("other")
"""
    )
    with host_app(write_app(tmp_path, source, host={"functions": ["Good"]})) as part:
        assert fetch.get(f"{part.url}/api/good").text == "good"
        assert fetch.get(f"{part.url}/api/other").status_code == 404
        listed = fetch.get(f"{part.url}/admin/functions").json()
        assert [one["name"] for one in listed] == ["good"]


def test_the_admin_routes_describe_the_host_and_its_functions(tmp_path: Path) -> None:
    with host_app(write_app(tmp_path, GOOD)) as part:
        status = fetch.get(f"{part.url}/admin/host/status").json()
        [function] = fetch.get(f"{part.url}/admin/functions").json()

        assert status["state"] == "Running"
        assert "errors" not in status
        assert function["invoke_url_template"] == f"{part.url}/api/good"
        assert function["config"]["bindings"][0]["type"] == "httpTrigger"
        assert fetch.get(f"{part.url}/admin/functions/GOOD").json() == function
        assert fetch.get(f"{part.url}/admin/no-such-route").status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_the_home_page_is_returned_for_any_method(tmp_path: Path, method: str) -> None:
    with host_app(write_app(tmp_path, GOOD)) as part:
        assert fetch.request(method, part.url).status_code == 200


def test_the_home_page_can_be_switched_off(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"Values": {"AzureWebJobsDisableHomepage": "true"}}
    with host_app(write_app(tmp_path, GOOD, settings=settings)) as part:
        assert fetch.get(part.url).status_code == 204
