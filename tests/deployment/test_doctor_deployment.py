"""`make doctor URL=...` checks the Azure resources of a deployment."""

import json
import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from local.doctor_deployment import check_streams, inspect_deployment
from tests.deployment.arm_calls import find_unknown
from tests.deployment.azure_stand_in import azure_stand_in
from tests.deployment.azure_state import APP, KEY, SERVICE, STORAGE, Azure
from tests.http_server import serve

AUDIENCE = "api://an-application"
PRINCIPAL = "the object id of the app's identity"


@pytest.fixture
async def deployment(tmp_path) -> AsyncIterator[tuple[Azure, str, dict[str, str]]]:
    """A valid deployment: the stand-in, the app's URL, and an environment with azd."""

    async def respond(request: web.BaseRequest) -> web.Response:
        assert request.headers["x-functions-key"] == KEY
        name = request.path.split("/")[-2]
        return web.json_response({"state": "Running", "errors": errors.get(name, [])})

    errors: dict[str, list[str]] = {}
    async with serve(respond) as url:
        with azure_stand_in(tmp_path) as (stand_in, addresses):
            stand_in.function_errors = errors
            stand_in.hub = {
                "eventHandlers": [
                    {
                        "urlTemplate": f"{url}/api/pubsub/events?code=key",
                        "userEventPattern": "*",
                        "systemEvents": ["connect", "connected", "disconnected"],
                        "auth": {"managedIdentity": {"resource": AUDIENCE}},
                    }
                ]
            }
            stand_in.principal = PRINCIPAL
            values = {
                "APP_ID": APP,
                "APP_URL": url,
                "STORAGE_ID": STORAGE,
                "WEBPUBSUB_ID": SERVICE,
                "WEBHOOK_AUDIENCE": AUDIENCE,
            }
            (tmp_path / "values.json").write_text(json.dumps(values))
            environment = {
                **os.environ,
                **addresses,
                "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            }
            yield stand_in, url, environment


async def findings(deployment: Any) -> dict[str, tuple[str, str]]:
    _, url, environment = deployment
    results = await inspect_deployment(url, environment)
    return {check: (state, message) for check, state, message in results}


async def test_a_valid_deployment_has_no_finding(deployment):
    found = await findings(deployment)

    assert {check: state for check, (state, _) in found.items()} == dict.fromkeys(
        ["handler", "roles", "regions", "functions"], "ok"
    ), found
    assert KEY not in str(found)
    assert find_unknown(deployment[0].calls) == []


async def test_an_unknown_azure_path_is_found():
    call = f"POST {APP}/functions/pubsub_events/listkey"

    assert find_unknown([call]) == [call.partition(" ")[2]]


async def test_a_hub_without_handler_is_found(deployment):
    deployment[0].hub = {"eventHandlers": []}

    state, message = (await findings(deployment))["handler"]

    assert state == "failed"
    assert "sends events to no app" in message
    assert "azd hooks run postdeploy" in message


async def test_another_audience_is_found(deployment):
    deployment[0].hub["eventHandlers"][0]["auth"]["managedIdentity"]["resource"] = "api://other"

    assert (await findings(deployment))["handler"][0] == "failed"


async def test_a_missing_role_is_found(deployment):
    deployment[0].roles.remove("0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3")

    state, message = (await findings(deployment))["roles"]

    assert state == "failed"
    assert "lacks Storage Table Data Contributor on st" in message


async def test_two_regions_are_found(deployment):
    deployment[0].locations[SERVICE] = "West Europe"

    state, message = (await findings(deployment))["regions"]

    assert state == "failed"
    assert "webpubsub in westeurope" in message


async def test_a_function_that_the_host_could_not_load_is_found(deployment):
    deployment[0].function_errors["run_streams"] = ["The schedule '%STOCKS%' is invalid."]

    state, message = (await findings(deployment))["functions"]

    assert state == "failed"
    assert "run_streams (The schedule '%STOCKS%' is invalid.)" in message


async def test_the_checks_are_skipped_without_azd(tmp_path):
    results = await inspect_deployment("https://app.example", {"PATH": str(tmp_path)})

    assert {state for _, state, _ in results} == {"skipped"}
    assert "azd is not installed here" in results[0][2]


async def test_the_environment_of_another_app_is_not_used(deployment):
    _, _, environment = deployment

    results = await inspect_deployment("https://another.example", environment)

    assert {state for _, state, _ in results} == {"skipped"}


async def test_check_streams_describes_the_streams_of_a_running_app(
    stack, http: aiohttp.ClientSession
):
    check, _, message = await check_streams(http, stack.url)

    assert check == "streams"
    assert "stream" in message


async def test_a_stream_without_ticks_is_found(http: aiohttp.ClientSession):
    async def respond(_: web.BaseRequest) -> web.Response:
        streams = [
            {"name": "weather", "active": False, "age_seconds": 950.0},
            {"name": "system-metrics", "active": False, "age_seconds": None},
            {"name": "stock-prices", "active": True, "age_seconds": 0.4},
        ]
        return web.json_response({"streams": streams})

    async with serve(respond) as url:
        result = await check_streams(http, url)

    assert result[1] == "failed"
    assert "weather (last frame 950 s ago)" in result[2]
    assert "system-metrics (no frame yet)" in result[2]
    assert "stock-prices" not in result[2]
