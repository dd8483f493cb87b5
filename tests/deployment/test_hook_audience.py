"""The app registration for Web PubSub's tokens is created once, and `azd down` removes it."""

from collections.abc import Iterator
from itertools import permutations

import pytest

from tests.deployment.azure_stand_in import azure_stand_in
from tests.deployment.azure_state import Azure
from tests.deployment.hook_runner import run_hook

NAME = "townsquare-events-try-11111111-1111-4111-8111-111111111111"
ENVIRONMENT = {
    "AZURE_ENV_NAME": "try",
    "AZURE_SUBSCRIPTION_ID": "11111111-1111-4111-8111-111111111111",
}


@pytest.fixture
def azure(tmp_path) -> Iterator[tuple[Azure, dict[str, str]]]:
    with azure_stand_in(tmp_path) as (stand_in, environment):
        yield stand_in, {**environment, **ENVIRONMENT}


def test_the_registration_is_for_this_directory_and_stored_in_the_environment(azure, tmp_path):
    stand_in, environment = azure

    result = run_hook("register_audience", tmp_path, environment)

    assert result.code == 0, result.output
    application = stand_in.applications[NAME]
    assert application["signInAudience"] == "AzureADMyOrg"
    assert application["api"] == {"requestedAccessTokenVersion": 2}
    assert application["identifierUris"] == ["api://app-1"]
    assert stand_in.principals == {"app-1"}
    assert "env set WEBHOOK_AUDIENCE api://app-1 --environment try" in stand_in.azd_log
    assert f"env set WEBHOOK_REGISTRATION {NAME} --environment try" in stand_in.azd_log


@pytest.mark.parametrize("faults", list(permutations(["404", "503", "half", "reset"])))
def test_faults_in_any_order_are_retried_and_nothing_is_created_twice(azure, tmp_path, faults):
    stand_in, environment = azure
    stand_in.faults = faults

    result = run_hook("register_audience", tmp_path, environment)

    assert result.code == 0, result.output
    assert list(stand_in.applications) == [NAME]
    assert stand_in.applications[NAME]["identifierUris"] == ["api://app-1"]
    assert stand_in.principals == {"app-1"}


def test_a_second_run_creates_nothing(azure, tmp_path):
    stand_in, environment = azure
    run_hook("register_audience", tmp_path, environment)

    known = run_hook("register_audience", tmp_path, {**environment, "WEBHOOK_AUDIENCE": "api://x"})
    lost = run_hook("register_audience", tmp_path, environment)

    assert (known.code, lost.code) == (0, 0), known.output + lost.output
    assert list(stand_in.applications) == [NAME]
    assert stand_in.applications[NAME]["appId"] == "app-1"


def test_a_missing_right_to_register_applications_is_reported_with_instructions(azure, tmp_path):
    stand_in, environment = azure
    stand_in.may_register = False

    result = run_hook("register_audience", tmp_path, environment)

    assert result.code == 1
    assert "may not register applications" in result.output
    assert "azd env set WEBHOOK_AUDIENCE api://" in result.output


def test_down_removes_the_registration_of_the_hook(azure, tmp_path):
    stand_in, environment = azure
    run_hook("register_audience", tmp_path, environment)
    stand_in.faults = ("503", "half")

    result = run_hook(
        "remove_registration", tmp_path, {**environment, "WEBHOOK_REGISTRATION": NAME}
    )
    again = run_hook("remove_registration", tmp_path, {**environment, "WEBHOOK_REGISTRATION": NAME})

    assert (result.code, again.code) == (0, 0), result.output + again.output
    assert (stand_in.applications, stand_in.deleted_applications) == ({}, set())
    assert "env set WEBHOOK_AUDIENCE  --environment try" in stand_in.azd_log


def test_down_does_not_remove_the_registration_of_another_user(azure, tmp_path):
    stand_in, environment = azure
    stand_in.applications["theirs"] = {"id": "object", "appId": "app"}

    result = run_hook(
        "remove_registration", tmp_path, {**environment, "WEBHOOK_AUDIENCE": "api://app"}
    )

    assert result.code == 0
    assert "theirs" in stand_in.applications
    assert stand_in.calls == []
