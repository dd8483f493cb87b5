"""The postdeploy hook connects the hub to the app, also after failed calls to Azure."""

import json
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import pytest

from local.parts import Part, Stack, free_ports, start_functions, start_webpubsub
from tests.deployment.arm_calls import find_unknown
from tests.deployment.azure_stand_in import azure_stand_in
from tests.deployment.azure_state import APP, HUB, KEY, SERVICE, Azure
from tests.deployment.hook_runner import HookResult, run_hook

AUDIENCE = "api://an-application"


@pytest.fixture(scope="module")
def guarded(stack: Stack) -> Iterator[Part]:
    """The app behind function keys, as Azure runs it."""
    (port,) = free_ports(1)
    app = start_functions(port, stack.environment, options=["--enable-auth", "--key", KEY])
    try:
        app.wait()
        yield app
    finally:
        app.stop()


@pytest.fixture
def azure(stack: Stack, guarded: Part, tmp_path: Path) -> Iterator[tuple[Azure, dict[str, str]]]:
    with azure_stand_in(tmp_path, guarded.url) as (stand_in, environment):
        yield (
            stand_in,
            {
                **environment,
                "APP_ID": APP,
                "WEBPUBSUB_ID": SERVICE,
                "WEBPUBSUB_ENDPOINT": stack.webpubsub_url,
                "WEBHOOK_AUDIENCE": AUDIENCE,
            },
        )


@pytest.fixture
def connect(azure, tmp_path) -> Callable[..., HookResult]:
    return lambda **changed: run_hook("connect_hub", tmp_path, {**azure[1], **changed})


def test_the_hub_is_connected_and_a_client_connection_confirms_it(connect, azure):
    stand_in, environment = azure

    result = connect()

    assert result.code == 0, result.output
    (handler,) = stand_in.hub["eventHandlers"]
    assert handler["urlTemplate"] == (
        f"{environment['APP_URL']}/api/pubsub/events?code=a%2Bkey%2Fof%3Da_function"
    )
    assert handler["systemEvents"] == ["connect", "connected", "disconnected"]
    assert handler["userEventPattern"] == "*"
    assert handler["auth"]["managedIdentity"]["resource"] == AUDIENCE
    assert stand_in.hub["anonymousConnectPolicy"] == "deny"
    assert "A client connected" in result.output
    assert KEY not in result.output
    assert find_unknown(stand_in.calls) == []


FAULTS = list(permutations(["403", "404", "503", "half", "reset"]))


@pytest.mark.parametrize("faults", FAULTS[::20])
def test_faults_in_any_order_are_retried_and_the_hub_is_set_once(connect, azure, faults):
    stand_in, _ = azure
    stand_in.faults = faults

    result = connect()

    assert result.code == 0, result.output
    assert "Waiting for" in result.output
    assert len(stand_in.hub["eventHandlers"]) == 1
    # `half` and `reset` lose the response to a call that took effect.
    assert stand_in.count(f"PUT {HUB}$") <= 3


def test_a_second_run_changes_nothing(connect, azure):
    stand_in, _ = azure
    connect()
    stand_in.calls.clear()

    result = connect()

    assert result.code == 0, result.output
    assert stand_in.count("^PUT") == 0


def test_a_new_function_key_is_set_in_the_hub(connect, azure):
    stand_in, environment = azure
    connect()
    old = f"{environment['APP_URL']}/api/pubsub/events?code=old"
    stand_in.hub["eventHandlers"][0]["urlTemplate"] = old

    result = connect()

    assert result.code == 0, result.output
    assert "code=a%2Bkey" in stand_in.hub["eventHandlers"][0]["urlTemplate"]


def test_a_deleted_hub_is_reported(connect, azure):
    azure[0].hub = None

    result = connect(HOOK_TIMEOUT_SECONDS="10")

    assert result.code == 1
    assert "GET wps/hubs/townsquare" in result.output
    assert "404 ResourceNotFound" in result.output


def test_other_properties_of_the_hub_are_unchanged(connect, azure):
    azure[0].hub["webSocketKeepAliveIntervalInSeconds"] = 30

    connect()

    assert azure[0].hub["webSocketKeepAliveIntervalInSeconds"] == 30


def test_a_manually_set_handler_is_not_replaced(connect, azure):
    stand_in, _ = azure
    stand_in.hub["eventHandlers"] = [{"urlTemplate": "https://theirs.example/events"}]

    refused = connect()
    agreed = connect(HUB_OVERWRITE="true")

    assert refused.code == 1
    assert "theirs.example" in refused.output
    assert "HUB_OVERWRITE true" in refused.output
    assert agreed.code == 0, agreed.output
    assert "theirs.example" not in json.dumps(stand_in.hub)


def test_an_unread_vault_reference_is_refreshed(connect, azure):
    stand_in, _ = azure
    stand_in.unhealthy_until_refreshed = True

    result = connect()

    assert result.code == 0, result.output
    assert stand_in.count("POST .*/configreferences/appsettings/refresh$") == 1
    assert stand_in.count("GET app /api/health$") == 1
    assert stand_in.count("POST .*/restart$") == 0


def test_an_app_that_stays_unhealthy_is_restarted_once_and_then_reported(connect, azure):
    stand_in, _ = azure
    stand_in.app_url = f"http://127.0.0.1:{free_ports(1)[0]}"

    result = connect(HOOK_TIMEOUT_SECONDS="8")

    assert result.code == 1
    assert stand_in.count("POST .*/restart$") == 1
    assert "/api/health returned 502" in result.output
    assert "azd hooks run postdeploy" in result.output
    assert stand_in.count(f"PUT {HUB}") == 0


def test_an_app_that_does_not_reach_its_tables_is_reported(connect, azure, stack):
    (port, nowhere) = free_ports(2)
    by_key = stack.environment["TABLES_CONNECTION_STRING"].replace(
        stack.tables.url, f"http://127.0.0.1:{nowhere}"
    )
    environment = {**stack.environment, "TABLES_CONNECTION_STRING": by_key}
    app = start_functions(port, environment, options=["--enable-auth", "--key", KEY])
    try:
        app.wait()
        azure[0].app_url = app.url

        result = connect(HOOK_TIMEOUT_SECONDS="20")
    finally:
        app.stop()

    assert result.code == 1
    assert '"tables":"down"' in result.output
    assert KEY not in result.output


def test_an_app_without_the_audience_gets_it_and_keeps_its_other_settings(connect, azure):
    """The parameters are read before the preprovision hook registers the audience."""
    stand_in, _ = azure
    stand_in.settings = {"WEBHOOK_AUDIENCE": "", "MINE": "unchanged"}

    result = connect()

    assert result.code == 0, result.output
    assert stand_in.settings == {
        "WEBHOOK_AUDIENCE": "api://an-application,an-application",
        "MINE": "unchanged",
    }


def test_an_app_of_another_service_is_not_connected(connect, azure):
    result = connect(WEBPUBSUB_ENDPOINT="https://other.webpubsub.azure.com")

    assert result.code == 1
    assert "expected 204 and other.webpubsub.azure.com" in result.output
    assert azure[0].count(f"PUT {HUB}") == 0


def test_undelivered_events_are_reported(connect, azure, stack, tmp_path):
    """The hub of this service has a handler at an address without a server."""
    ports = free_ports(3)
    handler = {"UrlTemplate": f"http://localhost:{ports[2]}/", "SystemEvents": ["connect"]}
    hubs = {"townsquare": {"EventHandlers": [{**handler, "EventPattern": "*"}]}}
    file = tmp_path / "webpubsub.json"
    file.write_text(json.dumps({"WebPubSub": {"Hubs": hubs}}))
    service = start_webpubsub(ports[0], file)
    by_key = stack.environment["WEBPUBSUB_CONNECTION_STRING"].replace(
        stack.webpubsub_url, service.url
    )
    environment = {**stack.environment, "WEBPUBSUB_CONNECTION_STRING": by_key}
    options = ["--enable-auth", "--key", KEY]
    app = start_functions(ports[1], environment, options=options)
    try:
        service.wait()
        app.wait()
        azure[0].app_url = app.url

        result = connect(HOOK_TIMEOUT_SECONDS="15")
    finally:
        app.stop()
        service.stop()

    assert result.code == 1
    assert "Gave up waiting for a first connection" in result.output
    assert "its `connect` event failed" in result.output


def test_without_guests_the_hook_reports_that_events_are_not_verified(connect):
    result = connect(IDENTITY="oidc")

    assert result.code == 0, result.output
    assert "the delivery of events was not checked" in result.output


def test_a_hook_that_runs_before_provisioning_prints_instructions(connect):
    result = connect(APP_ID="")

    assert result.code == 1
    assert "APP_ID is not set. Run `azd provision` first." in result.output
