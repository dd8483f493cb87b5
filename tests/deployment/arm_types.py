"""The types of Azure Resource Manager, from the models of Microsoft's own Python libraries.

    resource_type("Microsoft.Web/sites", {}).fields["properties"]

The models are those of the API versions in MODELS. Diagnostic settings are in no current library;
their type is written down here after
learn.microsoft.com/azure/templates/microsoft.insights/diagnosticsettings.
"""

import enum
import importlib
import inspect
import re
import types
import typing
from dataclasses import dataclass, field
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Type:
    """A type of JSON. `kind` is object, map, array, string, integer, number, boolean or any."""

    kind: str
    fields: dict[str, "Field"] = field(default_factory=dict, hash=False)
    item: "Type | None" = None  # of an array or a map
    values: tuple[str, ...] = ()  # the known values of a string, if it has a fixed set


@dataclass(frozen=True)
class Field:
    """A member of an object; `model` finds its type when it is asked for."""

    source: Any
    read_only: bool = False
    required: bool = False

    def type(self, value: Any) -> Type:
        return self.source(value) if callable(self.source) else self.source


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
"""Type -> library, model and the API version that the model is of."""

PREVIEWS = {"Microsoft.Insights/diagnosticSettings"}
"""The types that have no stable API version."""


def resource_type(name: str, body: dict[str, Any]) -> Type | None:
    """The type of a resource, or None if it is unknown. Of `config` the name decides."""
    if name == "Microsoft.Insights/diagnosticSettings":
        return _DIAGNOSTIC_SETTINGS
    if name == "Microsoft.Web/sites/config":
        name = f"{name}/{body.get('name')}"
    if name not in MODELS:
        return None
    library, model, _ = MODELS[name]
    return _model(getattr(importlib.import_module(f"azure.mgmt.{library}.models"), model), body)


RESPONSES = {
    "Microsoft.KeyVault/vaults": "Vault",
    "Microsoft.Storage/storageAccounts": "StorageAccount",
}
"""The models of answers, for types that have another model for creation."""


def response_type(name: str, body: dict[str, Any]) -> Type | None:
    """The type of a resource as it is read."""
    if name not in RESPONSES:
        return resource_type(name, body)
    library = importlib.import_module(f"azure.mgmt.{MODELS[name][0]}.models")
    return _model(getattr(library, RESPONSES[name]), body)


def model_version(name: str, body: dict[str, Any]) -> str:
    """The API version of which we have the model."""
    if name == "Microsoft.Web/sites/config":
        name = f"{name}/{body.get('name')}"
    return MODELS[name][2]


def _model(cls: Any, body: Any) -> Type:
    """A model class; of a base class the one that the discriminator in the body names."""
    if hasattr(cls, "_attribute_map"):
        return _autorest(_subtype(cls, body))
    return _typespec(cls)


def _subtype(cls: Any, body: Any) -> Any:
    for name, classes in getattr(cls, "_subtype_map", {}).items():
        key = cls._attribute_map[name]["key"].replace("\\.", ".")
        chosen = classes.get(body.get(key)) if isinstance(body, dict) else None
        if chosen:
            return getattr(importlib.import_module(cls.__module__), chosen)
    return cls


# --- models with _attribute_map ---------------------------------------------------------------

_SCALARS = {
    "str": "string", "int": "integer", "float": "number", "bool": "boolean", "object": "any",
    "iso-8601": "string", "duration": "string", "date": "string", "rfc-1123": "string",
    "long": "integer", "bytearray": "string",
}  # fmt: skip


@cache
def _autorest(cls: Any) -> Type:
    """`key` is a path in the JSON: properties.accessPolicies."""
    top = Type("object")
    for name, attribute in cls._attribute_map.items():
        path = [
            part.replace("\0", ".") for part in attribute["key"].replace("\\.", "\0").split(".")
        ]
        rules = getattr(cls, "_validation", {}).get(name, {})
        where = top
        for part in path[:-1]:
            inner = where.fields.get(part)
            if inner is None:
                inner = where.fields[part] = Field(Type("object"))
            where = inner.source
        where.fields[path[-1]] = Field(
            _autorest_type(attribute["type"], cls, name),
            read_only=rules.get("readonly", False),
            required=rules.get("required", False),
        )
    return top


def _autorest_type(text: str, cls: Any, name: str) -> Any:
    if text.startswith("["):
        item = _autorest_type(text[1:-1], cls, name)
        return lambda value: Type("array", item=_resolved(item, value))
    if text.startswith("{"):
        item = _autorest_type(text[1:-1], cls, name)
        return lambda value: Type("map", item=_resolved(item, value))
    if text in _SCALARS:
        return Type(_SCALARS[text], values=_documented_values(cls, name) if text == "str" else ())
    model = getattr(importlib.import_module(cls.__module__), text, None)
    if model is None:
        return Type("any")
    return lambda value: _model(model, value)


def _documented_values(cls: Any, name: str) -> tuple[str, ...]:
    """The values that the documentation of a string lists as known."""
    text = re.sub(r"\s+", " ", cls.__doc__ or "")
    found = re.search(rf":(?:ivar|keyword|param) {name}: (.*?) :vartype", text)
    known = re.search(r"Known values are: (.*?)\.(?: |$)", found[1]) if found else None
    return tuple(re.findall(r'"([^"]+)"', known[1])) if known else ()


# --- models with rest_field -------------------------------------------------------------------


@cache
def _typespec(cls: Any) -> Type:
    top = Type("object")
    models = importlib.import_module(re.sub(r"\._models$", "", cls.__module__))
    for base in reversed(cls.__mro__):
        for name, annotation in inspect.get_annotations(base).items():
            rest = vars(vars(base).get(name)) if hasattr(vars(base).get(name), "__dict__") else {}
            if name.startswith("_") or "_visibility" not in rest:
                continue
            visibility = rest["_visibility"]
            kind, optional = _typespec_type(annotation, models)
            top.fields[rest["_rest_name_input"] or name] = Field(
                kind,
                read_only=visibility is not None and "create" not in visibility,
                required=not optional,
            )
    return top


def _typespec_type(annotation: Any, models: types.ModuleType) -> tuple[Any, bool]:
    """The type of an annotation, and whether None is allowed."""
    annotation = _evaluated(annotation, models)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Union or origin is types.UnionType:
        rest = [one for one in arguments if one is not type(None)]
        optional = len(rest) < len(arguments)
        kinds = [_evaluated(one, models) for one in rest]
        enums = [one for one in kinds if isinstance(one, type) and issubclass(one, enum.Enum)]
        if enums:
            return Type("string", values=tuple(one.value for one in enums[0])), optional
        return _typespec_type(kinds[0], models)[0], optional
    if origin is list:
        item = _typespec_type(arguments[0], models)[0]
        return (lambda value: Type("array", item=_resolved(item, value))), False
    if origin is dict:
        item = _typespec_type(arguments[1], models)[0]
        return (lambda value: Type("map", item=_resolved(item, value))), False
    if origin is typing.Literal:
        return Type(
            "string", values=tuple(str(getattr(one, "value", one)) for one in arguments)
        ), False
    return _typespec_scalar(annotation), False


def _typespec_scalar(annotation: Any) -> Any:
    kinds = {str: "string", int: "integer", float: "number", bool: "boolean"}
    if annotation in kinds:
        return Type(kinds[annotation])
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return Type("string", values=tuple(one.value for one in annotation))
    if isinstance(annotation, type) and "azure.mgmt" in annotation.__module__:
        return lambda value: _model(annotation, value)
    return Type("any")


def _evaluated(annotation: Any, models: types.ModuleType) -> Any:
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        names = {**vars(typing), "_models": models, "datetime": importlib.import_module("datetime")}
        return eval(annotation, names)  # noqa: S307 - annotations of a pinned library
    return annotation


def _resolved(item: Any, value: Any) -> Type:
    if not callable(item):
        return item
    first = next(iter(value), None) if isinstance(value, list) else None
    return item(first)


def _scalar(kind: str) -> Field:
    return Field(Type(kind))


_DIAGNOSTIC_SETTINGS = Type(
    "object",
    {
        "properties": Field(
            Type(
                "object",
                {
                    "workspaceId": _scalar("string"),
                    "logAnalyticsDestinationType": _scalar("string"),
                    "logs": Field(
                        Type(
                            "array",
                            item=Type(
                                "object",
                                {
                                    "category": _scalar("string"),
                                    "categoryGroup": _scalar("string"),
                                    "enabled": Field(Type("boolean"), required=True),
                                },
                            ),
                        )
                    ),
                    "metrics": Field(
                        Type(
                            "array",
                            item=Type(
                                "object",
                                {
                                    "category": _scalar("string"),
                                    "enabled": Field(Type("boolean"), required=True),
                                },
                            ),
                        )
                    ),
                },
            ),
            required=True,
        )
    },
)
