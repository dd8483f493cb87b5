"""azure.yaml matches azd's schema, and its files, parameters and workflows exist."""

import copy
import json
import re
import subprocess
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from local.parts import ROOT
from tests.deployment.bicep import INFRA

PLAN = yaml.safe_load((ROOT / "azure.yaml").read_text())
SCHEMA = json.loads((Path(__file__).parent / "azure_yaml_schema.json").read_text())
WORKFLOWS = ROOT / ".github/workflows"

PARAMETER_NAMES = set(re.findall(r"\$\{(\w+)", (INFRA / "main.parameters.json").read_text()))
"""The azd environment values that the templates use."""

SET_BY_AZD = {"AZURE_ENV_NAME", "AZURE_LOCATION", "AZURE_PRINCIPAL_ID"}


def find_errors(plan: dict) -> list[str]:
    errors = jsonschema_rs.Draft201909Validator(SCHEMA).iter_errors(plan)
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in errors]


def test_azure_yaml_matches_the_schema():
    assert find_errors(PLAN) == []


def break_host(plan):
    plan["services"]["app"]["host"] = "functions"


def break_hook_name(plan):
    plan["hooks"]["afterdeploy"] = plan["hooks"].pop("postdeploy")


def break_shell(plan):
    plan["hooks"]["preup"]["posix"]["shell"] = "bash"


def break_run(plan):
    plan["hooks"]["preup"]["posix"]["script"] = plan["hooks"]["preup"]["posix"].pop("run")


def break_name(plan):
    plan["name"] = "Townsquare!"


@pytest.mark.parametrize(
    "damage", [break_host, break_hook_name, break_shell, break_run, break_name]
)
def test_an_error_of_each_kind_is_found(damage):
    plan = copy.deepcopy(PLAN)
    damage(plan)

    assert find_errors(plan)


def hooks() -> list[tuple[str, dict]]:
    return [*PLAN["hooks"].items(), *PLAN["services"]["app"]["hooks"].items()]


def test_every_file_in_azure_yaml_exists():
    app = PLAN["services"]["app"]

    assert (ROOT / PLAN["infra"]["path"] / f"{PLAN['infra']['module']}.bicep").exists()
    assert (ROOT / app["project"] / "function_app.py").exists()
    assert (ROOT / "web/build.mjs").exists()
    assert "'azd-service-name': 'app'" in (INFRA / "app.bicep").read_text()


@pytest.mark.parametrize(("name", "hook"), hooks(), ids=[name for name, _ in hooks()])
def test_a_hook_runs_the_same_programs_on_each_system(name, hook):
    posix, windows = hook["posix"]["run"], hook["windows"]["run"]

    scripts = re.findall(r"infra/hooks/\w+\.py", posix)
    assert scripts == re.findall(r"infra/hooks/\w+\.py", windows), name
    for script in scripts:
        assert (ROOT / script).exists()
    assert subprocess.run(["sh", "-n", "-c", posix], check=False).returncode == 0


@pytest.mark.parametrize(("name", "hook"), hooks(), ids=[name for name, _ in hooks()])
def test_a_hook_fails_when_one_of_its_programs_fails(name, hook):
    """PowerShell continues after a failed program unless the script checks the exit code."""
    words = [part.strip() for part in hook["windows"]["run"].split(";")]
    programs = [n for n, word in enumerate(words) if re.match(r"(python|npm|node) ", word)]

    assert programs, name
    for n in programs:
        assert words[n + 1] == "if ($LASTEXITCODE) { exit $LASTEXITCODE }"
    assert ";" not in hook["posix"]["run"], "sh continues after ;"


def test_every_hook_script_is_run():
    run = json.dumps(hooks())
    scripts = {path.name for path in (INFRA / "hooks").glob("*.py")}

    called = {name for name in scripts if f"infra/hooks/{name}" in run}
    # The first is imported by the others; `make doctor` runs the second.
    assert scripts - called <= {"azure_api.py", "inspect_deployment.py"}


def test_the_pipeline_passes_every_value_of_the_environment():
    pipeline = PLAN["pipeline"]
    passed = {*pipeline["variables"], *pipeline["secrets"]}
    workflow = yaml.safe_load((WORKFLOWS / "azure-dev.yml").read_text())
    environment = workflow["jobs"]["deploy"]["env"]

    missing = PARAMETER_NAMES - SET_BY_AZD - passed
    assert not missing, f"add to azure.yaml, pipeline.variables: {sorted(missing)}"
    assert passed == PARAMETER_NAMES - SET_BY_AZD
    missing = passed | {"AZURE_ENV_NAME", "AZURE_LOCATION"}
    missing -= set(environment)
    assert not missing, f"add to .github/workflows/azure-dev.yml, env: {sorted(missing)}"
    for name in pipeline["secrets"]:
        assert environment[name] == f"${{{{ secrets.{name} }}}}"
    for name in pipeline["variables"]:
        assert environment[name] == f"${{{{ vars.{name} }}}}"


def test_keys_of_providers_are_secrets_of_the_pipeline():
    keys = {name for name in PARAMETER_NAMES if name.endswith("_KEY")}

    assert {*keys, "SESSION_SECRET_PREVIOUS"} == set(PLAN["pipeline"]["secrets"])


def test_the_checks_of_the_repository_run_targets_that_exist():
    jobs = yaml.safe_load((WORKFLOWS / "check.yml").read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    targets = {one.split()[1] for one in commands if one.startswith("make ")}

    assert targets == {"check", "test", "audit", "sbom"}
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)
    assert "az bicep build --file infra/main.bicep --stdout > /dev/null" in commands
    assert "az bicep lint --file infra/main.bicep" in commands


def test_the_development_container_has_the_tools():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    features = container["features"]

    assert "ghcr.io/azure/azure-dev/azd:latest" in features
    assert features["ghcr.io/devcontainers/features/azure-cli:1"]["installBicep"] is True
