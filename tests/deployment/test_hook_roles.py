"""The deployment waits until the roles of the app can be in force."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.deployment.arm_calls import find_unknown
from tests.deployment.azure_stand_in import azure_stand_in
from tests.deployment.azure_state import STORAGE, Azure
from tests.deployment.hook_runner import run_hook


@pytest.fixture
def azure(tmp_path) -> Iterator[tuple[Azure, dict[str, str]]]:
    with azure_stand_in(tmp_path) as (stand_in, environment):
        yield stand_in, {**environment, "STORAGE_ID": STORAGE}


def test_roles_of_an_earlier_deployment_are_not_awaited(azure, tmp_path):
    result = run_hook("await_roles", tmp_path, azure[1])

    assert result.code == 0, result.output
    assert azure[0].count("roleAssignments") == 1
    assert find_unknown(azure[0].calls) == []


def test_new_roles_are_awaited(azure, tmp_path):
    stand_in, environment = azure
    stand_in.roles_created = datetime.now(UTC)
    stand_in.faults = ("404", "403", "half", "503")

    early = run_hook("await_roles", tmp_path, {**environment, "HOOK_TIMEOUT_SECONDS": "5"})
    later = run_hook("await_roles", tmp_path, {**environment, "ROLE_WAIT_SECONDS": "1"})

    assert early.code == 1
    assert "roles take effect up to 120 s after their assignment" in early.output
    assert later.code == 0, later.output


def test_a_missing_role_is_named(azure, tmp_path):
    stand_in, environment = azure
    stand_in.roles = stand_in.roles[:1]

    result = run_hook("await_roles", tmp_path, {**environment, "HOOK_TIMEOUT_SECONDS": "5"})

    assert result.code == 1
    assert "Storage Table Data Contributor on the storage account is not assigned" in result.output
