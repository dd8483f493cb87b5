"""requirements.in, requirements.txt and what is installed and imported are the same packages."""

import ast
import itertools
import re
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local.parts import ROOT

PYTHONS = ("3.11", "3.12", "3.13")

PACKAGES = ("api", "events", "negotiate", "pages", "producers", "realtime", "timers")

COME_WITH_ANOTHER = {"opentelemetry-api", "opentelemetry-instrumentation"}
"""In the versions that azure-monitor-opentelemetry needs, which pins them."""


def read_requirements(name: str) -> list[Requirement]:
    """The requirements of a file, without their hashes."""
    text = (ROOT / name).read_text().replace("\\\n", "")
    lines = [line.partition(" --hash")[0].strip() for line in text.splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


DIRECT = read_requirements("requirements.in")
RESOLVED = read_requirements("requirements.txt")


def applies(one: Requirement, **environment: str) -> bool:
    return one.marker is None or one.marker.evaluate(environment)


def test_every_package_has_one_version_and_hashes_and_no_url() -> None:
    text = (ROOT / "requirements.txt").read_text()
    blocks = re.split(r"\n(?=[a-z])", text)[1:]

    assert len(blocks) == len(RESOLVED) > len(DIRECT)
    for block, one in zip(blocks, RESOLVED, strict=True):
        assert re.fullmatch(r"==[^*,]+", str(one.specifier)), one
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), one
        assert "--hash" not in re.sub(r"--hash=sha256:[0-9a-f]{64}", "", block), one
    assert "://" not in text
    assert "--index-url" not in text


@pytest.mark.parametrize("python", PYTHONS)
def test_the_resolved_versions_match_the_required_ones(python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    resolved = [one for one in RESOLVED if applies(one, **environment)]
    names = [canonicalize_name(one.name) for one in resolved]

    assert len(names) == len(set(names)), "one version of each"
    versions = {canonicalize_name(one.name): str(one.specifier) for one in resolved}
    direct = [one for one in DIRECT if applies(one, **environment)]
    asked = {canonicalize_name(one.name): str(one.specifier) for one in direct}
    assert asked.items() <= versions.items(), "run `make lock`"


def find_dependencies() -> set[str]:
    """The dependencies of requirements.in here, by the metadata of the installed packages."""
    found: set[tuple[str, str]] = set()
    queue = [(one, "") for one in DIRECT]
    while queue:
        one, extra = queue.pop()
        if not applies(one, extra=extra):
            continue
        for wanted in ["", *one.extras]:
            key = canonicalize_name(one.name), wanted
            if key not in found:
                found.add(key)
                needed = distribution(one.name).requires or []
                queue += [(Requirement(line), wanted) for line in needed]
    return {name for name, _ in found}


def test_the_resolved_packages_are_complete_and_none_is_superfluous() -> None:
    resolved = {canonicalize_name(one.name) for one in RESOLVED if applies(one)}

    assert resolved == find_dependencies(), "run `make lock`"


def test_the_installed_versions_are_the_deployed_ones() -> None:
    installed = {one.name: version(one.name) for one in RESOLVED if applies(one)}
    pinned = {one.name: str(one.specifier)[2:] for one in RESOLVED if applies(one)}

    assert installed == pinned, "pip install -r requirements.txt"


def find_imports() -> set[str]:
    """The packages that the app imports, anywhere in its files."""
    files = [ROOT / "function_app.py"]
    for package in PACKAGES:
        files += (ROOT / package).rglob("*.py")
    modules = {module for path in files for module in imported_modules(path)}
    providers = packages_distributions()
    found = set()
    for module in modules:
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names or top in PACKAGES:
            continue
        found |= {canonicalize_name(one) for one in providers[top] if provides(one, module)}
    return found


def imported_modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def provides(name: str, module: str) -> bool:
    """Whether a distribution has this module: several have parts of the package `azure`."""
    paths = {str(one) for one in distribution(name).files or []}
    path = module.replace(".", "/")
    return f"{path}.py" in paths or f"{path}/__init__.py" in paths


def test_the_app_imports_exactly_its_required_packages() -> None:
    asked = {canonicalize_name(one.name) for one in DIRECT}
    imported = find_imports()

    assert imported - COME_WITH_ANOTHER == asked
    assert find_dependencies() >= COME_WITH_ANOTHER


def test_the_packages_of_a_developers_machine_have_the_apps_versions() -> None:
    """With hashes pip requires one for every package, so the file is installed separately."""
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()

    assert "-r requirements.in" in lines
    assert "-r requirements.txt" not in lines


def test_the_lock_can_be_renewed() -> None:
    command = ["make", "--dry-run", "--always-make", "lock", "ARGS=--upgrade"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "--generate-hashes" in printed
    assert "--universal" in printed
    assert "--upgrade" in printed
    assert "\nuv==" in (ROOT / "local/requirements-audit.txt").read_text()


def test_dependabot_looks_into_every_folder_that_pins_packages() -> None:
    plan = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())
    updates = plan["updates"]
    watched = {
        (one["package-ecosystem"], folder)
        for one in updates
        for folder in one.get("directories", [one.get("directory")])
    }
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    pinned = {("github-actions", "/")}
    for name, (pattern, ecosystem) in itertools.product(
        listed,
        {
            r"(requirements[^/]*\.(txt|in)|pyproject\.toml)": "pip",
            r"package-lock\.json": "npm",
            "Dockerfile": "docker",
        }.items(),
    ):
        folder, _, file = f"/{name}".rpartition("/")
        if re.fullmatch(pattern, file):
            pinned.add((ecosystem, folder or "/"))

    assert pinned <= watched
