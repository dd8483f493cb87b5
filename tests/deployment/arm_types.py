"""The types of Azure Resource Manager, from the models of Microsoft's Python libraries.

    resource_type("Microsoft.Web/sites", {}).fields["properties"]

The models are those of the API versions in MODELS. No current library has diagnostic settings;
their type is defined here, after
learn.microsoft.com/azure/templates/microsoft.insights/diagnosticsettings.
"""

import importlib
from typing import Any

from tests.deployment.arm_models import Field, Type, model_type

MODELS = {
    "Microsoft.Authorization/roleAssignments": (
        "authorization.v2022_04_01", "RoleAssignmentCreateParameters", "2022-04-01",
    ),
    "Microsoft.Consumption/budgets": ("consumption", "Budget", "2024-08-01"),
    "Microsoft.Insights/actionGroups": ("monitor", "ActionGroupResource", "2023-01-01"),
    "Microsoft.Insights/components": (
        "applicationinsights.v2020_02_02", "ApplicationInsightsComponent", "2020-02-02",
    ),
    "Microsoft.Insights/metricAlerts": ("monitor", "MetricAlertResource", "2018-03-01"),
    "Microsoft.Insights/scheduledQueryRules": (
        "monitor", "ScheduledQueryRuleResource", "2023-12-01",
    ),
    "Microsoft.Insights/webtests": ("applicationinsights.v2022_06_15", "WebTest", "2022-06-15"),
    "Microsoft.Insights/workbooks": ("applicationinsights.v2023_06_01", "Workbook", "2023-06-01"),
    "Microsoft.KeyVault/vaults": ("keyvault", "VaultCreateOrUpdateParameters", "2025-05-01"),
    "Microsoft.KeyVault/vaults/secrets": (
        "keyvault", "SecretCreateOrUpdateParameters", "2025-05-01",
    ),
    "Microsoft.ManagedIdentity/userAssignedIdentities": (
        "msi.v2024_11_30", "Identity", "2024-11-30",
    ),
    "Microsoft.Network/privateDnsZones": ("privatedns", "PrivateZone", "2024-06-01"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": (
        "privatedns", "VirtualNetworkLink", "2024-06-01",
    ),
    "Microsoft.Network/privateEndpoints": ("network", "PrivateEndpoint", "2026-03-01"),
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": (
        "network", "PrivateDnsZoneGroup", "2026-03-01",
    ),
    "Microsoft.Network/virtualNetworks": ("network", "VirtualNetwork", "2026-03-01"),
    "Microsoft.OperationalInsights/workspaces": ("loganalytics", "Workspace", "2025-07-01"),
    "Microsoft.Resources/resourceGroups": ("resource.resources", "ResourceGroup", "2025-04-01"),
    "Microsoft.SignalRService/webPubSub": ("webpubsub", "WebPubSubResource", "2024-03-01"),
    "Microsoft.SignalRService/webPubSub/hubs": ("webpubsub", "WebPubSubHub", "2024-03-01"),
    "Microsoft.Storage/storageAccounts": (
        "storage", "StorageAccountCreateParameters", "2025-06-01",
    ),
    "Microsoft.Storage/storageAccounts/blobServices": (
        "storage", "BlobServiceProperties", "2025-06-01",
    ),
    "Microsoft.Storage/storageAccounts/blobServices/containers": (
        "storage", "BlobContainer", "2025-06-01",
    ),
    "Microsoft.Storage/storageAccounts/tableServices": (
        "storage", "TableServiceProperties", "2025-06-01",
    ),
    "Microsoft.Storage/storageAccounts/tableServices/tables": ("storage", "Table", "2025-06-01"),
    "Microsoft.Web/serverfarms": ("web", "AppServicePlan", "2025-05-01"),
    "Microsoft.Web/sites": ("web", "Site", "2025-05-01"),
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": (
        "web", "CsmPublishingCredentialsPoliciesEntity", "2025-05-01",
    ),
    "Microsoft.Web/sites/config/appsettings": ("web", "StringDictionary", "2025-05-01"),
    "Microsoft.Web/sites/config/authsettingsV2": ("web", "SiteAuthSettingsV2", "2025-05-01"),
}  # fmt: skip
"""Resource type -> library, model and the API version of the model."""

PREVIEWS = {"Microsoft.Insights/diagnosticSettings"}
"""The types that have no stable API version."""


def resource_type(name: str, body: dict[str, Any]) -> Type | None:
    """The type of a resource, or None if it is unknown. A `config` has a type for each name."""
    if name == "Microsoft.Insights/diagnosticSettings":
        return _DIAGNOSTIC_SETTINGS
    name = _full_name(name, body)
    if name not in MODELS:
        return None
    library, model, _ = MODELS[name]
    return model_type(getattr(importlib.import_module(f"azure.mgmt.{library}.models"), model), body)


RESPONSES = {
    "Microsoft.KeyVault/vaults": "Vault",
    "Microsoft.Storage/storageAccounts": "StorageAccount",
}
"""The models of responses, for types with another model for creation."""


def response_type(name: str, body: dict[str, Any]) -> Type | None:
    """The type of a resource in a response."""
    if name not in RESPONSES:
        return resource_type(name, body)
    library = importlib.import_module(f"azure.mgmt.{MODELS[name][0]}.models")
    return model_type(getattr(library, RESPONSES[name]), body)


def model_version(name: str, body: dict[str, Any]) -> str:
    """The API version of the model."""
    return MODELS[_full_name(name, body)][2]


def _full_name(name: str, body: dict[str, Any]) -> str:
    return f"{name}/{body.get('name')}" if name == "Microsoft.Web/sites/config" else name


def _object(**fields: Type | Field) -> Type:
    values = {name: one if isinstance(one, Field) else Field(one) for name, one in fields.items()}
    return Type("object", values)


_TEXT = Type("string")
_ENABLED = Field(Type("boolean"), required=True)

_DIAGNOSTIC_SETTINGS = _object(
    properties=Field(
        _object(
            workspaceId=_TEXT,
            logAnalyticsDestinationType=_TEXT,
            logs=Type("array", item=_object(category=_TEXT, categoryGroup=_TEXT, enabled=_ENABLED)),
            metrics=Type("array", item=_object(category=_TEXT, enabled=_ENABLED)),
        ),
        required=True,
    )
)
