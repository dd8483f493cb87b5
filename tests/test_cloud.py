"""From clone to cloud: the templates, the hooks and the package fit the app that they deploy.

Bicep itself is compiled by .github/workflows/check.yml: its compiler is on no package index.
`make test CLOUD=1` (and every build machine) also runs the package in a virtual environment of its
own, which takes half a minute.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pathspec
import pytest
import tree_sitter
import tree_sitter_bicep
import yaml

from local import documents
from local.parts import ROOT, Desk, Part, free_ports, start_functions
from realtime.settings import Settings

INFRA = ROOT / "infra"
BICEP = sorted(INFRA.glob("*.bicep"))
NAMES = {one.name.upper() for one in fields(Settings)}

BY_KEY = {"WEBPUBSUB_CONNECTION_STRING", "TABLES_CONNECTION_STRING"}
"""The settings that hold keys; in Azure the endpoints stand in their place."""


def parsed(file: Path) -> tree_sitter.Node:
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))
    return parser.parse(file.read_bytes()).root_node


def nodes(node: tree_sitter.Node, kind: str) -> Iterator[tree_sitter.Node]:
    if node.type == kind:
        yield node
    for child in node.children:
        yield from nodes(child, kind)


def text(node: tree_sitter.Node | None) -> str:
    assert node is not None
    assert node.text is not None
    return node.text.decode()


def parameters() -> dict:
    return json.loads((INFRA / "main.parameters.json").read_text())["parameters"]


# --- settings -------------------------------------------------------------------------------


def test_every_setting_can_be_set_in_azure_and_none_holds_a_key():
    own = {
        text(one.children[0])
        for config in nodes(parsed(INFRA / "app.bicep"), "resource_declaration")
        for one in nodes(config, "object_property")
    }
    deployed = (own | set(parameters()["settings"]["value"])) & NAMES

    assert deployed == NAMES - BY_KEY


def test_a_setting_in_azure_has_the_default_of_the_class():
    defaults = {one.name.upper(): str(one.default) for one in fields(Settings)}
    chosen = parameters()["settings"]["value"]

    for name, value in chosen.items():
        given = re.fullmatch(rf"\${{{name}(?:=(.*))?}}", value)
        assert given, value
        assert (given[1] or "") == defaults[name]


def test_every_setting_is_in_the_local_example():
    example = json.loads((ROOT / "local.settings.json.example").read_text())

    assert set(example["Values"]) >= NAMES


def test_the_documents_made_from_the_code_are_current():
    assert documents.outdated() == [], "run: python -m local.documents"


def test_every_setting_is_in_the_table_for_the_readme():
    table = documents.settings_page()

    assert [name for name in sorted(NAMES) if f"| `{name}` |" not in table] == []


def test_the_asyncapi_document_tells_every_event_that_the_app_understands():
    from events.handlers import CLIENT_EVENTS

    messages = documents.asyncapi()["components"]["messages"]
    assert {f"send-{name}" for name in CLIENT_EVENTS} <= set(messages)


# --- the templates --------------------------------------------------------------------------


@pytest.mark.parametrize("file", BICEP, ids=lambda file: file.name)
def test_bicep_parses(file):
    assert not parsed(file).has_error


@pytest.mark.parametrize("file", BICEP, ids=lambda file: file.name)
def test_modules_exist_and_get_exactly_the_parameters_they_ask_for(file):
    for module in nodes(parsed(file), "module_declaration"):
        target = file.parent / text(next(nodes(module, "string_content")))
        assert target.exists()

        declared = {
            text(one.children[1]): any(child.type == "=" for child in one.children)
            for one in nodes(parsed(target), "parameter_declaration")
        }
        given = given_parameters(module)
        assert given <= set(declared)
        assert {name for name, optional in declared.items() if not optional} <= given


def given_parameters(module: tree_sitter.Node) -> set[str]:
    for one in nodes(module, "object_property"):
        if text(one.children[0]) == "params":
            values = next(nodes(one, "object"))
            return {
                text(child.children[0])
                for child in values.children
                if child.type == "object_property"
            }
    return set()


@pytest.mark.parametrize("file", BICEP, ids=lambda file: file.name)
def test_what_a_template_takes_from_a_module_is_given_by_it(file):
    source = file.read_text()
    modules = dict(re.findall(r"^module (\w+) '([^']+)'", source, re.MULTILINE))

    for module, output in re.findall(r"(\w+)\.outputs\.(\w+)", source):
        given = (file.parent / modules[module]).read_text()
        assert re.search(rf"^output {output} ", given, re.MULTILINE), f"{module}.{output}"


@pytest.mark.parametrize("file", BICEP, ids=lambda file: file.name)
def test_everything_that_a_template_declares_is_used(file):
    source = file.read_text()

    values = re.sub(r"^ *\w+:", "", source, flags=re.MULTILINE)
    for name in re.findall(r"^(?:param|var) (\w+)", source, re.MULTILINE):
        assert len(re.findall(rf"\b{name}\b", values)) > 1, name


def test_the_parameters_file_names_parameters_that_there_are():
    declared = {
        text(one.children[1])
        for one in nodes(parsed(INFRA / "main.bicep"), "parameter_declaration")
    }

    assert set(parameters()) == declared


def test_the_tables_that_are_made_are_those_that_the_app_uses():
    code = "".join(file.read_text() for file in (ROOT / "realtime").rglob("*.py"))
    used = set(re.findall(r"tables\.open\(\"(\w+)\"\)", code))
    made = re.search(r"for tableName in \[(.*?)\]", (INFRA / "storage.bicep").read_text())

    assert made is not None
    assert set(re.findall(r"'(\w+)'", made[1])) == used


def test_azure_yaml_names_what_exists():
    plan = yaml.safe_load((ROOT / "azure.yaml").read_text())
    app = plan["services"]["app"]
    hooks = [*plan["hooks"].values(), *app["hooks"].values()]

    assert (ROOT / plan["infra"]["path"] / f"{plan['infra']['module']}.bicep").exists()
    assert (ROOT / app["project"] / "function_app.py").exists()
    assert (ROOT / "web/build.mjs").exists()
    for hook in hooks:
        for script in re.findall(r"\S+\.py", hook["posix"]["run"] + " " + hook["windows"]["run"]):
            assert (ROOT / script).exists()
    assert "azd-service-name': 'app'" in (INFRA / "app.bicep").read_text()


# --- the hooks ------------------------------------------------------------------------------

AZ = """\
#!{python}
# Stands in for the command lines az and azd: keeps what it is told, and answers like Azure.
import json, pathlib, sys
folder = pathlib.Path(__file__).parent
words = sys.argv[1:]
with (folder / "said").open("a") as said:
    said.write(" ".join([pathlib.Path(__file__).name, *words]) + "\\n")
url = words[words.index("--url") + 1] if "--url" in words else ""
if "listkeys" in url:
    print(json.dumps({{"default": "{key}"}}))
elif "/hubs/" in url and "put" in words:
    assert words[words.index("--body") + 1] == "@-"
    (folder / "hub.json").write_text(sys.stdin.read())
elif "/hubs/" in url:
    hub = json.loads((folder / "hub.json").read_text())
    asked = folder / "asked"
    hub["properties"]["provisioningState"] = "Succeeded" if asked.exists() else "Updating"
    asked.touch()
    print(json.dumps(hub))
elif words[:3] == ["ad", "app", "create"]:
    print(json.dumps({{"appId": "1234"}}))
elif words[:2] == ["ad", "app"] and (folder / "forbidden").exists():
    sys.exit("Insufficient privileges to complete the operation.")
elif "list" in words:
    print("[]")
elif words[:2] not in (["ad", "app"], ["ad", "sp"], ["env", "set"]):
    sys.exit("not expected: " + " ".join(words))
"""

KEY = "a+key/of=a_function"


@pytest.fixture(scope="module")
def guarded(desk: Desk) -> Iterator[Part]:
    """The app behind function keys, as Azure runs it."""
    app = start_functions(
        free_ports(1)[0], desk.environment, options=["--enable-auth", "--key", KEY]
    )
    app.wait()
    yield app
    app.stop()


@pytest.fixture
def azure(tmp_path) -> Path:
    """A folder with an az and an azd in it."""
    for name in ("az", "azd"):
        program = tmp_path / name
        program.write_text(AZ.format(python=sys.executable, key=KEY))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def run_hook(name: str, azure: Path, environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, INFRA / "hooks" / name],
        env={**os.environ, "PATH": f"{azure}:{os.environ['PATH']}", **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def hook(desk, guarded, azure):
    """Runs the postdeploy hook as azd does."""
    known = {
        "APP_ID": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/app",
        "APP_URL": guarded.url,
        "WEBPUBSUB_ID": "/subscriptions/s/resourceGroups/g/providers/p/webPubSub/wps",
        "WEBPUBSUB_ENDPOINT": desk.webpubsub_url,
        "WEBHOOK_AUDIENCE": "api://an-application",
        "HOOK_PATIENCE": "0.5",
    }
    return lambda **changed: run_hook("connect_hub.py", azure, {**known, **changed})


def test_after_the_deployment_the_hub_sends_its_events_to_the_app(hook, guarded, tmp_path):
    code, said = hook()

    assert code == 0, said
    assert "consents to events from localhost" in said
    assert KEY not in said
    (handler,) = json.loads((tmp_path / "hub.json").read_text())["properties"]["eventHandlers"]
    assert handler["urlTemplate"].startswith(f"{guarded.url}/api/pubsub/events?code=a%2Bkey")
    assert handler["systemEvents"] == ["connect", "connected", "disconnected"]
    assert handler["userEventPattern"] == "*"
    assert handler["auth"]["managedIdentity"]["resource"] == "api://an-application"


def test_a_hub_is_not_connected_to_an_app_that_knows_another_service(hook, tmp_path):
    code, said = hook(WEBPUBSUB_ENDPOINT="https://other.webpubsub.azure.com")

    assert code == 1
    assert "expected 204 and other.webpubsub.azure.com" in said
    assert not (tmp_path / "hub.json").exists()


def test_an_app_that_does_not_come_up_is_told_with_what_it_said(hook):
    code, said = hook(APP_URL=f"http://127.0.0.1:{free_ports(1)[0]}")

    assert code == 1
    assert "answered nothing for 0 s" in said or "answered nothing for 1 s" in said
    assert "Traceback" not in said


def test_a_hook_that_runs_too_early_says_what_to_do(hook):
    code, said = hook(APP_ID="")

    assert code == 1
    assert "APP_ID is not set; run `azd provision` first." in said


def test_the_audience_is_registered_once_and_kept(azure):
    first = run_hook("register_audience.py", azure, {"AZURE_ENV_NAME": "try"})
    again = run_hook("register_audience.py", azure, {"WEBHOOK_AUDIENCE": "api://1234"})

    assert (first[0], again[0]) == (0, 0), first[1] + again[1]
    said = (azure / "said").read_text()
    assert "az ad app update --id 1234 --identifier-uris api://1234" in said
    assert "az ad sp create --id 1234" in said
    assert said.count("azd env set WEBHOOK_AUDIENCE api://1234") == 1
    assert said.count("ad app create") == 1


def test_who_may_not_register_applications_is_told_what_to_do(azure):
    (azure / "forbidden").touch()

    code, said = run_hook("register_audience.py", azure, {"AZURE_ENV_NAME": "try"})

    assert code == 1
    assert "Insufficient privileges" in said
    assert "azd env set WEBHOOK_AUDIENCE" in said


def test_the_build_machine_runs_targets_that_there_are():
    jobs = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    targets = {one.split()[1] for one in commands if one.startswith("make ")}

    assert targets == {"check", "test"}
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


# --- the package ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `azd deploy` would upload: the project without what .funcignore names."""
    rules = pathspec.GitIgnoreSpec.from_lines((ROOT / ".funcignore").read_text().splitlines())
    folder = tmp_path_factory.mktemp("package")
    for here, folders, files in os.walk(ROOT):
        place = Path(here).relative_to(ROOT)
        folders[:] = [one for one in folders if not rules.match_file(f"{place / one}/")]
        for one in files:
            if not rules.match_file(place / one):
                (folder / place).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / place / one, folder / place / one)
    return folder


def test_the_package_holds_the_app_and_nothing_else(package):
    if not (ROOT / "web/dist/index.html").exists():
        pytest.fail("the page is not built: make test builds it")
    top = {one.name for one in package.iterdir()}

    assert top == {
        "api", "events", "function_app.py", "host.json", "negotiate", "pages", "producers",
        "realtime", "requirements.txt", "timers", "web",
    }  # fmt: skip
    assert [one.name for one in (package / "web").iterdir()] == ["dist"]
    assert (package / "web/dist/index.html").exists()
    assert sum(one.stat().st_size for one in package.rglob("*") if one.is_file()) < 5_000_000


def test_the_package_runs_by_itself(package, desk):
    host = start_functions(free_ports(1)[0], deployed(desk), app=package)
    try:
        host.wait()

        assert health(host) == 200
        assert status(f"{host.url}/") == 200
    finally:
        host.stop()


def deployed(desk: Desk) -> dict[str, str]:
    """What the platform gives the app: application settings and no local.settings.json."""
    example = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
    return {**example, **desk.environment}


def health(host: Part) -> int:
    return status(f"{host.url}/api/health")


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - our own host
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


ALONE = """
    import asyncio, os, sys
    sys.path.insert(0, ".")
    import azure.functions as func
    import function_app

    names = {one.get_function_name() for one in function_app.app.get_functions()}
    assert {"negotiate", "pubsub_events", "stock_prices", "health"} <= names, names

    from pages.health import check_health
    print(asyncio.run(check_health()), "azure.monitor.opentelemetry" in sys.modules, flush=True)
    os._exit(0)  # as Azure ends a worker: nobody waits until everything is told
"""


TELLING = {
    "APPLICATIONINSIGHTS_CONNECTION_STRING": (
        "InstrumentationKey=00000000-0000-0000-0000-000000000000;"
        "IngestionEndpoint=http://127.0.0.1:9/"
    ),
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
}
"""Telemetry is on, and nobody listens."""


@pytest.mark.timeout(600)
@pytest.mark.skipif(not {"CI", "CLOUD"} & set(os.environ), reason="slow: make test CLOUD=1")
def test_the_package_runs_on_its_own_requirements_alone(package, desk, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    install = [python, "-m", "pip", "install", "-q", "-r", package / "requirements.txt"]
    subprocess.run(install, check=True)

    said = subprocess.run(
        [python, "-c", textwrap.dedent(ALONE)],
        cwd=package,
        env={**deployed(desk), **TELLING, "PATH": os.environ["PATH"], "PYTHONNOUSERSITE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "status='ok'" in said.stdout, said.stderr
    assert said.stdout.endswith("True\n")
