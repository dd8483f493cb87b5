"""Every name in a Bicep file is defined."""

import pytest

from tests.deployment.bicep import FILES, File, seed_error
from tests.deployment.bicep_names import find_name_errors


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_name_is_defined(path):
    assert find_name_errors(File(path)) == []


SEEDED = {
    "variable": ("vault", "guid(vault.id, principalId, secretsUser)",
                 "guid(vault.id, principalId, secretUser)", "there is no secretUser"),
    "parameter in a text": ("app", "'plan-${name}'", "'plan-${appName}'", "there is no appName"),
    "loop variable": ("alerts", "name: rule.name\n    location: 'global'",
                      "name: alert.name\n    location: 'global'", "there is no alert"),
    "variable of a lambda": ("authentication", "!empty(audience)", "!empty(one)",
                             "there is no one"),
    "symbol of a module": ("main", "network!.outputs", "vnet!.outputs", "there is no vnet"),
    "function": ("main", "toLower(", "lower(", "there is no function lower"),
    "decorator": ("vault", "@onlyIfNotExists()", "@ifNotExists()",
                  "there is no function ifNotExists"),
    "property of a resource": ("webpubsub", "service.identity.principalId",
                               "service.identity.principal",
                               "service.identity.principal does not exist"),
    "read-only property": ("app", "app.properties.defaultHostName", "app.properties.hostName",
                           "app.properties.hostName does not exist"),
    "property of a nested object": ("storage", "account.properties.primaryEndpoints.table",
                                    "account.properties.primaryEndpoints.tables",
                                    "primaryEndpoints.tables does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("seed", SEEDED.values(), ids=SEEDED.keys())
def test_an_error_of_each_kind_is_found(seed):
    name, right, wrong, expected = seed

    errors = find_name_errors(seed_error(name, right, wrong))

    assert [error for error in errors if expected in error], errors
