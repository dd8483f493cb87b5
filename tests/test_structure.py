"""The order of the code base: who may import whom, and what stands in one place only."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LAYERS = [
    ["function_app"],
    ["negotiate", "events", "producers"],
    ["realtime.answers"],
    ["realtime.history", "realtime.presence", "realtime.retention", "realtime.stream"],
    ["realtime.people", "realtime.rooms", "realtime.hub", "realtime.logs"],
    [
        "realtime.tables",
        "realtime.channels",
        "realtime.limits",
        "realtime.issuer",
        "realtime.ncrontab",
        "realtime.azure.transactions",
        "realtime.azure.service_client",
    ],
    ["realtime.messages", "realtime.telemetry", "realtime.azure"],
    ["realtime.settings"],
]
"""From the top down; a module imports what lies in a lower layer, or in its own package."""

OURS = ("function_app", "negotiate", "events", "producers", "realtime", "local", "web", "tests")


def test_the_top_level_is_what_the_readme_says() -> None:
    """A newcomer finds each thing by its name; nothing else may pile up beside it."""
    given = {
        "function_app.py", "negotiate", "producers", "events", "tests",
        "host.json", "local.settings.json.example", "requirements.txt",
    }  # fmt: skip
    added = {"realtime", "web", "local", "emulator", "infra", "benchmarks", "docs"}
    papers = {"README.md", "CHANGELOG.md", "LICENSE"}
    tools = {"Makefile", "pyproject.toml", "requirements-dev.txt", "azure.yaml"}
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if not listed:
        pytest.skip("not a git checkout")

    top = {path.partition("/")[0] for path in listed}
    assert {name for name in top if not name.startswith(".")} == given | added | papers | tools


def modules(*folders: str) -> list[Path]:
    found = [ROOT / "function_app.py"] if "function_app" in folders else []
    for folder in folders:
        found += sorted((ROOT / folder).rglob("*.py"))
    return found


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module
            for alias in node.names:
                inner = ROOT / node.module.replace(".", "/") / f"{alias.name}.py"
                yield f"{node.module}.{alias.name}" if inner.exists() else node.module


def layer_of(module: str) -> int:
    """The place of a module in LAYERS; a package's inner modules count as the package."""
    for place, layer in enumerate(LAYERS):
        if any(module == name or module.startswith(f"{name}.") for name in layer):
            return place
    raise AssertionError(f"{module} has no place in LAYERS")


def package_of(module: str) -> str:
    top = module.partition(".")[0]
    return module if top == "realtime" else top


APP = modules("function_app", "negotiate", "events", "producers", "realtime")


@pytest.mark.parametrize("path", [p for p in APP if name_of(p) != "realtime"], ids=name_of)
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    me = name_of(path)

    for imported in imports(path):
        if imported.partition(".")[0] not in OURS or package_of(imported) == package_of(me):
            continue
        assert layer_of(imported) > layer_of(me), f"{me} imports {imported}"


def test_the_app_imports_nothing_of_the_emulator() -> None:
    """The app knows Azure Web PubSub only by its wire protocol."""
    found = {name_of(path) for path in APP if "webpubsub_emulator" in "".join(imports(path))}

    assert found == set()


def test_the_functions_platform_is_imported_where_functions_are_declared() -> None:
    found = {name_of(path) for path in APP if "azure.functions" in set(imports(path))}

    assert found == {"function_app", "negotiate", "events", "producers", "realtime.answers"}


def test_the_environment_is_read_in_one_place() -> None:
    readers = {name_of(path) for path in APP if {"os.environ", "os.getenv"} & used(path)}

    assert readers == {"realtime.settings"}


def used(path: Path) -> set[str]:
    """Every dotted name that a file uses."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}


def test_the_app_only_registers_its_blueprints() -> None:
    body = ast.parse((ROOT / "function_app.py").read_text()).body[1:]

    registered = [ast.unparse(node) for node in body if isinstance(node, ast.Expr)]
    assert registered == [
        f"app.register_functions({package}.bp)" for package in ("negotiate", "events", "producers")
    ]


def test_nothing_of_the_app_is_started_by_importing_it() -> None:
    """Clients, settings and loops are made at the first request: cached functions, not values."""
    made_at_import = {"settings", "tables", "hub", "history", "presence", "people", "rooms"}
    for path in APP:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
                called = ast.unparse(node.value.func)
                assert called not in made_at_import, f"{name_of(path)} calls {called}()"
