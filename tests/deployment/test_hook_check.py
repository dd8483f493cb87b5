"""Errors found before provisioning are reported in one line, with the command that fixes them."""

from collections.abc import Iterator
from itertools import permutations

import pytest

from tests.deployment.arm_calls import find_unknown
from tests.deployment.azure_stand_in import azure_stand_in
from tests.deployment.azure_state import TENANT, Azure
from tests.deployment.hook_runner import HookResult, run_hook

ENVIRONMENT = {
    "IDENTITY": "guest",
    "AZURE_ENV_NAME": "try",
    "AZURE_LOCATION": "eastus",
    "AZURE_SUBSCRIPTION_ID": "11111111-1111-4111-8111-111111111111",
}


@pytest.fixture
def azure(tmp_path) -> Iterator[tuple[Azure, dict[str, str]]]:
    with azure_stand_in(tmp_path) as (stand_in, environment):
        yield stand_in, {**environment, **ENVIRONMENT}


def check(azure, **changed: str) -> HookResult:
    stand_in, environment = azure
    return run_hook("check_deployment", stand_in.folder, {**environment, **changed})


def test_a_valid_environment_passes(azure):
    result = check(azure, STOCKS_SCHEDULE="*/5 * * * * *", OIDC_ISSUER="", VNET_ENABLED="true")

    assert result.code == 0, result.output
    assert find_unknown(azure[0].calls) == []


@pytest.mark.parametrize("faults", list(permutations(["503", "half", "reset", "429"]))[::3])
def test_faults_in_any_order_are_retried(azure, faults):
    azure[0].faults = faults

    result = check(azure)

    assert result.code == 0, result.output
    assert "Waiting for" in result.output


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"MODERATE": 'a"b'}, "MODERATE has a double quote"),
        ({"OIDC_ISSUER": "a\\b"}, "OIDC_ISSUER has a backslash"),
        ({"STOCK_SYMBOLS": "A\nB"}, "STOCK_SYMBOLS has a line break"),
        ({"WEBPUBSUB_UNITS": "two"}, "WEBPUBSUB_UNITS is 'two', not a number"),
        ({"VNET_ENABLED": "yes"}, "VNET_ENABLED is 'yes', not true or false"),
        ({"WEBPUBSUB_SKU": "Free_F1", "WEBPUBSUB_UNITS": "2"}, "Free_F1 has one unit"),
        ({"DEPLOYMENT_PROFILE": "trial", "WEBPUBSUB_UNITS": "2"}, "Free_F1 has one unit"),
        ({"IDENTITY": "everybody"}, "IDENTITY is 'everybody', not guest, easyauth, oidc"),
        ({"IDENTITY": "easyauth"}, "IDENTITY=easyauth needs AUTHENTICATION_CLIENT_ID"),
        ({"IDENTITY": "oidc", "OIDC_ISSUER": "https://a"}, "IDENTITY=oidc needs OIDC_AUDIENCE"),
        ({"MONTHLY_BUDGET": "50"}, "MONTHLY_BUDGET needs ALERT_EMAIL"),
    ],
)
def test_an_invalid_value_is_named(azure, changed, expected):
    result = check(azure, **changed)

    assert result.code == 1
    assert expected in result.output
    assert "azd env set" in result.output
    assert azure[0].calls == [], "no call to Azure before the check"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"IDENTITY": ""}, "azd env set IDENTITY guest"),
        ({}, "azd env set ROOMS listed"),
        ({"ROOMS": "listed"}, "Everybody may enter, as a guest (IDENTITY=guest)"),
        ({"IDENTITY": "oidc", "OIDC_ISSUER": "a", "OIDC_AUDIENCE": "a"}, "Accounts may enter"),
    ],
)
def test_it_says_who_may_enter_and_what_else_there_is(azure, changed, expected):
    result = check(azure, **changed)

    assert result.code == 0, "without a choice azd asks, or stops by itself"
    assert expected in result.output


def test_values_are_checked_without_a_subscription(azure):
    wrong = check(azure, AZURE_SUBSCRIPTION_ID="", MODERATE='"')
    right = check(azure, AZURE_SUBSCRIPTION_ID="")

    assert (wrong.code, right.code) == (1, 0)


def test_an_expired_login_is_reported(azure):
    (azure[0].folder / "signed-out").touch()

    result = check(azure)

    assert result.code == 1
    assert "azd auth login" in result.output


def test_a_token_of_the_right_tenant_is_requested(azure):
    stand_in, _ = azure
    stand_in.tenant = TENANT

    result = check(azure)

    assert result.code == 0, result.output
    assert f"--tenant-id {TENANT}" in stand_in.azd_log


def test_an_inaccessible_subscription_is_reported(azure):
    result = check(azure, AZURE_SUBSCRIPTION_ID="33333333-3333-4333-8333-333333333333")

    assert result.code == 1
    assert "no access to the subscription 33333333" in result.output


CONTRIBUTOR = {
    "actions": ["*"],
    "notActions": ["Microsoft.Authorization/*/Write", "Microsoft.Authorization/*/Delete"],
}
ACCESS_ADMINISTRATOR = {
    "actions": ["Microsoft.Authorization/roleAssignments/write", "*/read"],
    "notActions": [],
}


def test_missing_rights_are_reported_with_the_roles_that_include_them(azure):
    azure[0].permissions = [CONTRIBUTOR]

    result = check(azure)

    assert result.code == 1
    assert "Role Based Access Control Administrator" in result.output
    assert "Microsoft.Authorization/roleAssignments/write" in result.output
    assert "deployments/write" not in result.output


def test_rights_from_two_roles_are_combined(azure):
    azure[0].permissions = [CONTRIBUTOR, ACCESS_ADMINISTRATOR]

    assert check(azure).code == 0


def test_a_region_without_web_pubsub_is_reported_with_the_available_regions(azure):
    result = check(azure, AZURE_LOCATION="westcentralus")

    assert result.code == 1
    assert "Web PubSub is not offered in westcentralus" in result.output
    assert "eastus, westeurope" in result.output


def test_a_resource_group_of_another_environment_is_not_used(azure):
    azure[0].groups["rg-try"] = {"tags": {"azd-env-name": "other"}}

    result = check(azure)

    assert result.code == 1
    assert "rg-try exists and does not belong" in result.output


def test_the_resource_group_of_this_environment_is_reused(azure):
    azure[0].groups["rg-try"] = {"tags": {"azd-env-name": "try"}}
    azure[0].deleted_vaults = ["kv-old"]

    assert check(azure).code == 0


def test_a_deleted_vault_with_the_same_name_is_reported(azure):
    azure[0].deleted_vaults = ["kv-taken"]

    result = check(azure)

    assert result.code == 1
    assert "kv-taken is taken by a deleted one" in result.output


def test_private_networking_registers_the_provider_for_flex_consumption(azure):
    result = check(azure, VNET_ENABLED="true")

    assert result.code == 0, result.output
    assert azure[0].count(r"POST .*/providers/Microsoft.App/register$") == 1
