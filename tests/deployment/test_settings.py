"""The app's settings are the same in the class, the local example, the Bicep and the parameters."""

import json
import re
from dataclasses import fields

import pytest

from local.parts import ROOT
from realtime.azure.tables import TABLE_NAMES
from realtime.settings import InvalidSettingsError, Settings
from tests.deployment.bicep import INFRA, read

NAMES = {one.name.upper() for one in fields(Settings)}

WITH_KEYS = {"WEBPUBSUB_CONNECTION_STRING", "TABLES_CONNECTION_STRING"}
"""The settings that contain keys. In Azure, endpoints replace them."""


IN_AZURE = {
    "WEBSITE_SITE_NAME": "townsquare",
    "WEBPUBSUB_CONNECTION_STRING": "Endpoint=https://a;AccessKey=b;Version=1.0;",
    "TABLES_ENDPOINT": "https://a",
    "SESSION_SECRET": "s" * 32,
    "OIDC_ISSUER": "https://a",
    "OIDC_AUDIENCE": "a",
}


def parameters() -> dict:
    return json.loads((INFRA / "main.parameters.json").read_text())["parameters"]


def deployed_settings() -> set[str]:
    """Every app setting that a deployment writes."""
    own = re.findall(r"^ +(\w+): ", read("settings").text, re.MULTILINE)
    audience = re.findall(r"\{ (\w+): ", read("settings").text)
    chosen = re.findall(r"chosen\.settings, \{ (\w+): identityProvider \}", read("main").text)
    return {*own, *audience, *chosen} | set(parameters()["settings"]["value"])


def test_every_setting_without_a_key_can_be_set_in_azure():
    assert deployed_settings() & NAMES == NAMES - WITH_KEYS


def test_a_parameter_of_the_settings_is_a_setting():
    assert set(parameters()["settings"]["value"]) <= NAMES


def test_a_setting_in_azure_has_the_default_of_the_class():
    defaults = {one.name.upper(): str(one.default) for one in fields(Settings)}

    for name, value in parameters()["settings"]["value"].items():
        given = re.fullmatch(rf"\${{{name}(?:=(.*))?}}", value)
        assert given, value
        assert (given[1] or "") == defaults[name]


def test_every_setting_is_in_the_local_example():
    example = json.loads((ROOT / "local.settings.json.example").read_text())

    assert set(example["Values"]) >= NAMES


def test_the_parameters_file_names_the_parameters_of_the_template():
    assert set(parameters()) == {one.name for one in read("main").parameters}


def test_only_the_place_and_the_identities_are_asked_for():
    """azd asks for a parameter without a default whose value is empty; `--no-prompt` stops there.

    github.com/Azure/azure-dev/issues/2895
    """
    from_azd = {"environmentName", "location", "settings", "identityProvider"}
    declared = {one.name: one for one in read("main").parameters}

    assert {name for name, one in declared.items() if not one.has_default} == from_azd
    for name, given in parameters().items():
        if name in from_azd - {"settings"}:
            assert given["value"] in {"${AZURE_ENV_NAME}", "${AZURE_LOCATION}", "${IDENTITY}"}
        elif name != "settings":
            assert re.fullmatch(r"\$\{\w+(=[^}]*)?\}", given["value"])


def test_who_may_enter_is_chosen_from_the_values_of_the_setting():
    """Nobody gets a service that is open to everybody without having said so."""
    parameter = next(one for one in read("main").parameters if one.name == "identityProvider")
    hook = (INFRA / "hooks/check_deployment.py").read_text()
    allowed = re.findall(r"'(\w+)'", parameter.decorators["allowed"])

    assert allowed == re.findall(r'^    "(\w+)": \(', hook, re.MULTILINE)
    for identity in allowed:
        assert Settings.read({**IN_AZURE, "IDENTITY": identity}).identity == identity
    with pytest.raises(InvalidSettingsError, match="IDENTITY is missing"):
        Settings.read(IN_AZURE)
    local = {name: value for name, value in IN_AZURE.items() if name != "WEBSITE_SITE_NAME"}
    assert Settings.read(local).identity == "guest"
    assert "IDENTITY" in read("main").outputs, "the answer becomes a value of the environment"
    assert parameters()["identityProvider"]["value"] == "${IDENTITY}"


def test_a_default_of_the_parameters_file_is_that_of_the_template():
    declared = {one.name: one.default.strip("'") for one in read("main").parameters}

    for name, given in parameters().items():
        if name in {"environmentName", "location", "settings", "identityProvider"}:
            continue
        default = re.fullmatch(r"\$\{\w+(?:=([^}]*))?\}", given["value"])[1] or ""
        assert default == declared[name], name


def test_the_location_is_chosen_from_regions_that_offer_flex_consumption():
    location = next(one for one in read("main").parameters if one.name == "location")

    assert "type: 'location'" in location.decorators["metadata"]
    regions = re.findall(r"'(\w+)'", location.decorators["allowed"])
    assert len(regions) == len(set(regions)) > 25
    assert {"eastus", "westeurope", "swedencentral"} <= set(regions)


def test_a_deployment_keeps_settings_of_other_tools():
    text = read("settings").text

    assert "properties: union(current, settings, audience, {" in text
    assert "current: list('${app.id}/config/appsettings'" in read("app").text


def test_the_created_tables_are_the_tables_of_the_app():
    code = "".join(path.read_text() for path in (ROOT / "realtime").rglob("*.py"))
    used = set(re.findall(r"tables\.open\(\"(\w+)\"\)", code))
    created = re.search(r"for tableName in \[(.*?)\]", (INFRA / "storage.bicep").read_text())

    assert created is not None
    assert set(re.findall(r"'(\w+)'", created[1])) == used == set(TABLE_NAMES)


def test_outputs_have_the_names_that_azd_and_the_hooks_read():
    hooks = "".join(path.read_text() for path in (INFRA / "hooks").glob("*.py"))
    required = set(re.findall(r'require\("(\w+)"\)', hooks))
    from_azd = {"AZURE_ENV_NAME", "AZURE_SUBSCRIPTION_ID", "WEBHOOK_AUDIENCE"}

    outputs = set(read("main").outputs)
    assert {"AZURE_LOCATION", "AZURE_TENANT_ID", "SERVICE_APP_NAME"} <= outputs
    assert required - from_azd <= outputs
