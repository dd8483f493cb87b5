"""The documents about deployment match infra/: values, commands, roles, alerts and costs."""

import json
import re
from collections.abc import Iterator

import pytest

from local.parts import ROOT
from realtime.azure.telemetry import METRICS
from realtime.errors import ERROR_CODES
from tests.deployment import rights
from tests.deployment.bicep import INFRA, read
from tests.deployment.test_settings import NAMES

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DEPLOY = (ROOT / "docs/deploy.md").read_text()
COST = (ROOT / "docs/cost.md").read_text()
OPERATE = (ROOT / "docs/operate.md").read_text()

PARAMETERS = set(re.findall(r"\$\{(\w+)", (INFRA / "main.parameters.json").read_text()))
HOOKS = "".join(path.read_text() for path in (INFRA / "hooks").glob("*.py"))
HOOK_VALUES = set(re.findall(r'environ\.get\("(\w+)"', HOOKS))
OUTPUTS = set(read("main").outputs)


def commands(text: str) -> Iterator[str]:
    """The shell commands of a document: lines of `sh` blocks, and inline code."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        yield from block.splitlines()
    for inline in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text):
        yield from inline.split(" && ")


ALL_COMMANDS = [command for path in DOCUMENTS for command in commands(path.read_text())]


def test_every_value_that_a_command_sets_exists():
    named = {name for line in ALL_COMMANDS for name in re.findall(r"azd env set (\w+)", line)}

    assert named - {"NAME"} <= PARAMETERS | HOOK_VALUES
    assert len(named) > 8


def test_every_value_that_a_command_reads_is_an_output():
    read_values = {v for line in ALL_COMMANDS for v in re.findall(r"azd env get-value (\w+)", line)}

    assert read_values
    assert read_values <= OUTPUTS


def test_the_table_of_values_has_every_parameter_that_is_not_a_setting():
    table = DEPLOY[DEPLOY.index("The values of the deployment itself:") :]
    rows = re.findall(r"^\| (`.*?) \|", table[: table.index("\n\n`HTTP_CONC")], re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    from_azd = {"AZURE_ENV_NAME", "AZURE_LOCATION", "AZURE_PRINCIPAL_ID"}

    assert listed - {"HUB_OVERWRITE"} == PARAMETERS - (NAMES - {"WEBHOOK_AUDIENCE"}) - from_azd
    assert "HUB_OVERWRITE" in HOOK_VALUES


def test_the_defaults_in_the_table_are_those_of_the_parameters():
    given = dict(re.findall(r"\$\{(\w+)=([^}]*)\}", (INFRA / "main.parameters.json").read_text()))
    rows = re.findall(r"^\| `([A-Z_]+)` \| `([^`]*)` \|", DEPLOY, re.MULTILINE)

    assert len(rows) > 5
    for name, default in rows:
        assert given[name] == default, name


NEEDS = {
    "keyvault secret set": "Microsoft.KeyVault/vaults/secrets/setSecret/action",
    "keyvault secret show": "Microsoft.KeyVault/vaults/secrets/getSecret/action",
    "storage entity query": f"{rights.ENTITIES}/read",
    "storage entity insert": f"{rights.ENTITIES}/write",
    "storage entity delete": f"{rights.ENTITIES}/delete",
    "storage blob list": f"{rights.BLOBS}/containers/blobs/read",
    "webpubsub service broadcast": f"{rights.WEBPUBSUB}/hub/send/action",
}
"""The data action that a command of the Azure CLI needs. Others change resources, which the
deployer's own roles allow."""

RESOURCE_COMMANDS = (
    "functionapp ",
    "webapp ",
    "webpubsub hub ",
    "group ",
    "ad ",
    "bicep ",
    "login",
)


def find_command_errors(lines: list[str]) -> list[str]:
    """Commands for which the deployer has no role."""
    roles = rights.assigned_roles(read("vault"), "deployerId")
    errors = []
    for line in lines:
        for command in re.findall(r"\baz ((?:[a-z-]+ ?)+)", line):
            if command.startswith(RESOURCE_COMMANDS):
                continue
            needed = NEEDS.get(" ".join(command.split()[:3]))
            if needed is None or not rights.is_allowed((frozenset({needed}),), roles):
                errors.append(command)
    return errors


def test_the_deployer_has_the_role_for_every_command_in_the_documents():
    assert find_command_errors(ALL_COMMANDS) == []
    assert any("az keyvault secret set" in line for line in ALL_COMMANDS)


@pytest.mark.parametrize("command", ["az storage entity query --table-name rooms", "az x y z"])
def test_a_command_without_a_role_is_found(command):
    assert find_command_errors([command])


def test_no_other_login_is_needed():
    assert not [line for line in ALL_COMMANDS if line.startswith("az login")]
    assert 'shutil.which("az")' not in HOOKS


def test_the_hooks_in_the_table_exist():
    named = set(re.findall(r"`(\w+\.py)`", DEPLOY))

    assert named == {
        path.name for path in (INFRA / "hooks").glob("*.py")
    } - {"azure_api.py", "inspect_deployment.py"}  # fmt: skip


def test_the_alerts_in_the_table_are_those_of_the_template():
    rules = set(re.findall(r"name: '([a-z]+(?:-[a-z]+)+)'", read("alerts").text))
    table = OPERATE[OPERATE.index("## Alerts") : OPERATE.index("## Retention")]

    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == rules


def test_the_metrics_in_documents_alerts_and_workbook_exist():
    text = OPERATE + read("alerts").text + (INFRA / "workbook.json").read_text()
    named = set(re.findall(r"townsquare\.[a-z]+(?:\.[a-z]+)?", text))

    assert named == set(METRICS)


def test_alert_and_workbook_count_every_error_with_the_status_503():
    """The host records no request that a function answers so."""
    expected = {code for code, one in ERROR_CODES.items() if one.status == 503}

    for text in (read("alerts").text, (INFRA / "workbook.json").read_text().replace('\\"', '"')):
        (codes,) = re.findall(r"Properties\.code\) in \(([^)]*)\)", text)
        assert set(re.findall(r'"(\w+)"', codes)) == expected


def test_the_workbook_has_the_documented_charts():
    items = json.loads((INFRA / "workbook.json").read_text())["items"]
    titles = " ".join(item["content"]["title"] for item in items).lower()

    for word in ("connections", "server load", "messages", "commit", "stream age", "5xx", "reject"):
        assert word in titles


# --- costs ------------------------------------------------------------------------------------

GB = 0.5
GB_SECOND_USD, EXECUTION_USD = 0.000026, 0.40 / 1_000_000
FREE_GB_SECONDS, FREE_EXECUTIONS = 100_000, 250_000
MONTH_SECONDS = 30 * 24 * 3600


def monthly_usd(*intervals: int) -> tuple[float, float]:
    """Timer functions and their executions, for timers with these intervals in seconds."""
    runs = sum(MONTH_SECONDS // interval for interval in intervals)
    seconds = runs * GB - FREE_GB_SECONDS  # a run is billed as at least one second
    return max(0.0, seconds) * GB_SECOND_USD, max(0, runs - FREE_EXECUTIONS) * EXECUTION_USD


@pytest.mark.parametrize(
    ("column", "unit", "intervals", "ready"),
    [(1, 0, (60, 60), 0), (2, 49, (60, 60), 0), (3, 49, (60, 60), 1)],
    ids=["trial", "standard", "production"],
)
def test_the_price_of_an_unused_app_is_calculated(column, unit, intervals, ready):
    timers, executions = monthly_usd(*intervals)
    always_ready = ready * GB * MONTH_SECONDS * 0.000004
    table = [
        [cell.strip() for cell in row.split("|")[1:-1]]
        for row in COST.splitlines()
        if row.startswith("|")
    ]
    cells = {row[0]: row[column] for row in table if len(row) == 4}

    assert cells["timer functions at 512 MB"] == f"{timers:.0f}"
    assert cells["executions"] == f"{executions:.0f}"
    total = unit + timers + executions + always_ready
    stated = int(re.search(r"\d+", cells["**USD a month**"])[0])
    assert abs(stated - total) < 1, total
    assert f"about {stated} USD" in DEPLOY


def test_the_profiles_are_as_in_the_table():
    text = read("main").text

    assert "trial: {\n    sku: 'Free_F1'" in text
    assert "production: { sku: 'Standard_S1', alwaysReady: 1" in text
    assert text.count("'*/30 * * * * *'") == 2
