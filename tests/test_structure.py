"""The structure of the code base: layers, table owners, and declarations that exist only once."""

import ast
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

TOP_LEVEL_PACKAGES = ("negotiate", "events", "api", "pages", "producers", "timers")

LAYERS = [
    ["function_app"],
    list(TOP_LEVEL_PACKAGES),
    ["realtime.user_data"],
    ["realtime.rooms", "realtime.users", "realtime.streams", "realtime.providers"],
    ["realtime.identity", "realtime.http", "realtime.timer", "realtime.rate_limit"],
    ["realtime.process"],
    ["realtime.azure"],
    [
        "realtime.messages",
        "realtime.requests",
        "realtime.decoding",
        "realtime.contents",
        "realtime.concurrency",
    ],
    ["realtime.names", "realtime.ncrontab", "realtime.visibility", "realtime.garbage_collection"],
    ["realtime.errors", "realtime.settings"],
]
"""From the top down. A module imports from lower layers and from its own package, and never from
another package of its layer."""

OWN = ("function_app", *TOP_LEVEL_PACKAGES, "realtime", "local", "web", "tests", "emulator")

MAX_FILE_LINES = 300


def modules(*folders: str) -> list[Path]:
    found = [ROOT / "function_app.py"] if "function_app" in folders else []
    for folder in folders:
        found += sorted((ROOT / folder).rglob("*.py"))
    return found


APP = modules("function_app", *TOP_LEVEL_PACKAGES, "realtime")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in the file."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module
            for alias in node.names:
                inner = ROOT / node.module.replace(".", "/") / alias.name
                is_module = inner.with_suffix(".py").exists() or inner.is_dir()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def place_of(module: str) -> tuple[int, str]:
    """The layer of a module, and the entry of LAYERS to which it belongs."""
    for place, layer in enumerate(LAYERS):
        for entry in layer:
            if module == entry or module.startswith(f"{entry}."):
                return place, entry
    raise AssertionError(f"{module} is not in LAYERS")


def test_the_top_level_has_only_known_entries() -> None:
    required = {
        "function_app.py", "negotiate", "producers", "events", "tests",
        "host.json", "local.settings.json.example", "requirements.txt",
    }  # fmt: skip
    optional = {
        "api", "pages", "timers", "realtime", "clients", "web", "local", "emulator", "infra",
        "benchmarks", "docs", "examples",
    }  # fmt: skip
    documents = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"}
    tools = {"Makefile", "pyproject.toml", "requirements.in", "requirements-dev.txt", "azure.yaml"}
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if not listed:
        pytest.skip("not a git checkout")

    top = {path.partition("/")[0] for path in listed}
    visible = {name for name in top if not name.startswith(".")}
    assert visible >= required
    assert visible <= required | optional | documents | tools


@pytest.mark.parametrize("path", [p for p in APP if name_of(p) != "realtime"], ids=name_of)
def test_a_module_imports_only_from_lower_layers_and_its_own_package(path: Path) -> None:
    layer, entry = place_of(name_of(path))

    for imported in imports(path):
        if imported.partition(".")[0] not in OWN or imported == "realtime":
            continue
        imported_layer, imported_entry = place_of(imported)
        assert imported_entry == entry or imported_layer > layer, f"imports {imported}"


@pytest.mark.parametrize("path", modules("emulator/src"), ids=lambda path: path.name)
def test_the_emulator_imports_nothing_of_the_app(path: Path) -> None:
    assert [one for one in imports(path) if one.partition(".")[0] in OWN] == []


@pytest.mark.parametrize("path", [*APP, *modules("local", "infra")], ids=name_of)
def test_a_file_has_at_most_300_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES


def test_the_functions_platform_is_imported_only_where_functions_are_declared() -> None:
    found = {name_of(path) for path in APP if "azure.functions" in set(imports(path))}
    allowed = {"function_app", "realtime.http", "realtime.timer"}

    outside = {name for name in found if name.partition(".")[0] not in TOP_LEVEL_PACKAGES}
    assert outside == allowed


def test_every_function_is_declared_through_the_wrappers_that_start_the_process() -> None:
    """`bp.route` and `bp.timer_trigger` are called in realtime/http.py and realtime/timer.py."""
    callers = defaultdict(set)
    for path in APP:
        for node in ast.walk(tree_of(path)):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in {"route", "timer_trigger"}
                and ast.unparse(node.value) in {"bp", "app"}
            ):
                callers[node.attr].add(name_of(path))

    assert callers == {"route": {"realtime.http"}, "timer_trigger": {"realtime.timer"}}


def test_each_table_is_opened_by_one_file() -> None:
    owners = defaultdict(set)
    for path in APP:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("tables.open"):
                (name,) = node.args
                assert isinstance(name, ast.Constant), f"{name_of(path)}: a table has a fixed name"
                owners[name.value].add(name_of(path))

    assert {table: files for table, files in owners.items() if len(files) > 1} == {}
    assert {"history", "rooms", "presence", "streams"} <= set(owners)


def test_the_environment_is_read_in_one_place() -> None:
    def uses(path: Path) -> set[str]:
        nodes = ast.walk(tree_of(path))
        return {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}

    readers = {name_of(path) for path in APP if {"os.environ", "os.getenv"} & uses(path)}
    assert readers == {"realtime.settings"}


def test_the_app_only_registers_its_blueprints() -> None:
    body = tree_of(ROOT / "function_app.py").body[1:]

    registered = [ast.unparse(node) for node in body if isinstance(node, ast.Expr)]
    expected = {f"app.register_functions({package}.bp)" for package in TOP_LEVEL_PACKAGES}
    assert set(registered) == expected


def test_the_only_state_made_by_an_import_are_the_two_registries() -> None:
    """Constants have upper-case names. Cached functions create clients and caches."""
    allowed = {"bp", "app", "log", "logger", "__all__"}
    registries = {("realtime.http", "endpoints"), ("realtime.streams.definition", "registry")}
    found = set()
    for path in APP:
        for node in tree_of(path).body:
            if not isinstance(node, ast.Assign | ast.AnnAssign):
                continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {ast.unparse(target) for target in targets} - allowed
            found |= {(name_of(path), name) for name in names if name.islower()}

    assert found == registries


def test_no_two_public_names_of_the_app_are_the_same() -> None:
    """Every producer has a `tick`; all other public names are unique."""
    places = defaultdict(list)
    definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for path in APP:
        for node in tree_of(path).body:
            if isinstance(node, definition) and not node.name.startswith("_"):
                places[node.name].append(name_of(path))
    del places["tick"]

    assert {name: files for name, files in places.items() if len(files) > 1} == {}
