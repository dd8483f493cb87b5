"""Every property of every resource exists in Azure and accepts its value."""

import pytest

from tests.deployment.bicep import FILES, File, seed_error
from tests.deployment.bicep_check import count_properties, find_errors


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_properties_exist_and_accept_their_values(path):
    assert find_errors(File(path)) == []


def test_all_properties_are_checked():
    counts = {path.name: count_properties(File(path)) for path in FILES}

    assert sum(counts.values()) > 300
    assert [name for name, count in counts.items() if count == 0] == []


SEEDED = {
    "misspelled property": (
        "storage", "allowSharedKeyAccess: false", "allowSharedKeysAccess: false",
        "properties.allowSharedKeysAccess does not exist",
    ),
    "misspelled property in a flattened model": (
        "webpubsub", "disableLocalAuth: true", "disableLocalAuthentication: true",
        "properties.disableLocalAuthentication does not exist",
    ),
    "property in the wrong place": (
        "app", "siteConfig: {", "minTlsVersion: '1.2'\n    siteConfig: {",
        "properties.minTlsVersion does not exist",
    ),
    "read-only property": (
        "vault", "enableSoftDelete: true", "hsmPoolResourceId: 'x'",
        "properties.hsmPoolResourceId is read-only",
    ),
    "text in place of a boolean": (
        "app", "httpsOnly: true", "httpsOnly: 'true'",
        "properties.httpsOnly is string; expected boolean",
    ),
    "unknown value of an enumeration": (
        "storage", "minimumTlsVersion: 'TLS1_2'", "minimumTlsVersion: '1.2'",
        "properties.minimumTlsVersion is '1.2'; expected TLS1_0",
    ),
    "unknown value behind a condition": (
        "storage", "publicAccess ? 'Enabled' : 'Disabled'", "publicAccess ? 'Enabled' : 'Off'",
        "properties.publicNetworkAccess is 'Off'; expected Enabled",
    ),
    "missing property": (
        "vault", "tenantId: tenant().tenantId", "createMode: 'default'",
        "properties.tenantId is required",
    ),
    "missing discriminated property": (
        "alerts", "webTestId: availabilityTest.id", "",
        "properties.criteria.webTestId is required",
    ),
    "object in place of an array": (
        "network", "addressPrefixes: ['10.0.0.0/16']", "addressPrefixes: { a: '10.0.0.0/16' }",
        "properties.addressSpace.addressPrefixes is an object; expected array",
    ),
    "property of an array's item": (
        "network", "properties: { addressPrefix: '10.0.2.0/24' }",
        "properties: { prefix: '10.0.2.0/24' }",
        "properties.subnets[].properties.prefix does not exist",
    ),
    "unknown type": (
        "identity", "Microsoft.ManagedIdentity/userAssignedIdentities",
        "Microsoft.ManagedIdentity/userIdentities", "is not a type that the tests know",
    ),
    "preview API version": (
        "vault", "Microsoft.KeyVault/vaults@2025-05-01",
        "Microsoft.KeyVault/vaults@2024-04-01-preview", "is not a stable API version",
    ),
    "old API version": (
        "storage", "Microsoft.Storage/storageAccounts@2025-06-01",
        "Microsoft.Storage/storageAccounts@2021-04-01", "more than two years older",
    ),
    "diagnostic settings": (
        "webpubsub", "category: 'ConnectivityLogs', enabled: true", "category: 'ConnectivityLogs'",
        "properties.logs[].enabled is required",
    ),
}  # fmt: skip


@pytest.mark.parametrize("seed", SEEDED.values(), ids=SEEDED.keys())
def test_an_error_of_each_kind_is_found(seed):
    name, right, wrong, expected = seed

    errors = find_errors(seed_error(name, right, wrong))

    assert [error for error in errors if expected in error], errors
