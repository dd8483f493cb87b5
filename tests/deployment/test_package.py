"""The deployment package has only the files of the app, and runs.

`make test CLOUD=1` (and CI) also runs it in a new virtual environment, which takes half a minute.
"""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
import venv
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path

import pytest
import yaml

from local.parts import ROOT, Stack, free_ports, start_functions
from tests.deployment.packing import INTERPRETATIONS, pack

APP = {"function_app.py", "host.json", "requirements.txt"}
PACKAGES = {"api", "events", "negotiate", "pages", "producers", "realtime", "timers"}

LOCAL_FILES = [
    ".DS_Store",
    ".azure/try/.env",
    ".coverage",
    ".env",
    ".hypothesis/examples/a",
    ".idea/workspace.xml",
    ".local/tables/__azurite_db_table__.json",
    ".mypy_cache/a.json",
    ".python_packages/lib/a.py",
    ".venv/lib/python3.13/site-packages/a.py",
    ".vscode/settings.json",
    "__azurite_db_blob__.json",
    "__blobstorage__/a",
    "build/lib/a.py",
    "dump.zip",
    "env/lib/a.py",
    "htmlcov/index.html",
    "local.settings.json",
    "local.settings.json.bak",
    "node_modules/a/index.js",
    "package.tar.gz",
    "__pycache__/function_app.cpython-311.pyc",
    "realtime/__pycache__/messages.cpython-312.pyc",
    "realtime/__pycache__/messages.cpython-313.opt-1.pyc",
    "realtime/__pycache__/messages.cpython-314.pyc",
    "tests/__pycache__/users.cpython-313.pyc",
    "realtime/messages.py~",
    "server.key",
    "trace.log",
    "venv/lib/a.py",
    "web/dist/.DS_Store",
    "web/node_modules/a/index.js",
]
"""Files that developers have in the folder."""

BYTECODE = {
    "__pycache__/function_app.cpython-313.pyc",
    "realtime/__pycache__/names.cpython-313.pyc",
}
"""Files of the prepackage hook, of the version that runs in Azure."""


@pytest.fixture(scope="module")
def dirty_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the built page and with files that must not be packed."""
    if not (ROOT / "web/dist/index.html").exists():
        pytest.fail("the page is not built: make test builds it")
    tree = tmp_path_factory.mktemp("dirty")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tree / name)
    shutil.copytree(ROOT / "web/dist", tree / "web/dist")
    for name in [*LOCAL_FILES, *BYTECODE]:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("local")
    return tree


@pytest.fixture(scope="module", params=INTERPRETATIONS, ids=lambda name: name.replace(" ", "-"))
def package(request, dirty_tree, tmp_path_factory) -> Path:
    """The files that `azd deploy` uploads."""
    folder = tmp_path_factory.mktemp("package")
    pack(dirty_tree, folder, INTERPRETATIONS[request.param])
    return folder


def files_of(folder: Path) -> set[str]:
    return {one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()}


def test_funcignore_has_no_negated_line():
    """azd before 1.23.13 ignored such a line, and excluded web/dist."""
    lines = (ROOT / ".funcignore").read_text().splitlines()

    assert [line for line in lines if line.startswith("!")] == []
    assert len([line for line in lines if line]) == len({line for line in lines if line})


def test_the_package_has_the_app_and_nothing_else(package):
    found = files_of(package) - BYTECODE
    top = {name.partition("/")[0] for name in found}

    assert top - PACKAGES == APP | {"web"}
    assert {"events", "negotiate", "producers", "realtime"} <= top
    assert {name for name in found if name.startswith("web/")} == {
        f"web/dist/{name}" for name in files_of(ROOT / "web/dist")
    }
    assert {Path(name).suffix for name in found if not name.startswith("web/")} <= {
        ".py", ".json", ".txt", ".typed",
    }  # fmt: skip
    assert sum(one.stat().st_size for one in package.rglob("*") if one.is_file()) < 5_000_000


def test_local_files_are_not_packed(package):
    assert files_of(package) & set(LOCAL_FILES) == set()


def test_bytecode_of_the_version_in_azure_is_packed(package):
    assert "version: '3.13'" in (ROOT / "infra/app.bicep").read_text()
    assert {name for name in files_of(package) if name.endswith(".pyc")} == BYTECODE


def test_the_prepackage_hook_compiles_every_module_of_the_app(package):
    """Bytecode with a hash is valid whatever time a file gets when it is unpacked."""
    hook = yaml.safe_load((ROOT / "azure.yaml").read_text())["services"]["app"]["hooks"][
        "prepackage"
    ]
    arguments = hook["posix"]["run"].partition("&& python3 ")[2]
    assert f"; python {arguments};" in hook["windows"]["run"]

    subprocess.run([sys.executable, *arguments.split()], cwd=package, check=True)

    sources = list(package.rglob("*.py"))
    assert len(sources) > 100
    for one in sources:
        header = Path(cache_from_source(str(one))).read_bytes()[:16]
        assert header[:4] == MAGIC_NUMBER
        assert header[4:8] == CHECKED_HASH
        assert header[8:] == source_hash(one.read_bytes())


def test_both_interpretations_of_funcignore_pack_the_same_files(dirty_tree, tmp_path):
    packed = [pack(dirty_tree, tmp_path / name, read) for name, read in INTERPRETATIONS.items()]

    assert packed[0] == packed[1]


def test_an_interpretation_without_negation_detects_a_negated_line(tmp_path):
    """`web/*` with `!web/dist/`: only one interpretation packs the page."""
    lines = "web/*\n!web/dist/\n"
    tree = tmp_path / "tree"
    (tree / "web/dist").mkdir(parents=True)
    (tree / "web/dist/index.html").write_text("page")
    (tree / ".funcignore").write_text(lines)

    packed = {name: pack(tree, tmp_path / name, read) for name, read in INTERPRETATIONS.items()}

    assert "web/dist/index.html" in packed["like git"]
    assert "web/dist/index.html" not in packed["as exclusions"]


def test_the_package_runs_as_an_app(package, stack):
    host = start_functions(free_ports(1)[0], deployed(stack), app=package)
    try:
        host.wait()

        assert status(f"{host.url}/api/health") == 200
        assert status(f"{host.url}/") == 200
    finally:
        host.stop()


def deployed(stack: Stack) -> dict[str, str]:
    """The application settings of a deployed app, without local.settings.json."""
    example = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
    return {**example, **stack.environment}


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=20) as response:  # noqa: S310 - our own host
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


CHECKED_HASH = bytes([3, 0, 0, 0])
"""The flags of bytecode that is valid for the source with its hash: peps.python.org/pep-0552."""

PROGRAM = """
    import asyncio, os, sys
    sys.path.insert(0, ".")
    import azure.functions as func
    import function_app

    names = {one.get_function_name() for one in function_app.app.get_functions()}
    assert {"negotiate", "pubsub_events", "run_streams", "health"} <= names, names

    from pages.health import check_health
    from realtime.process import start

    start()
    print(asyncio.run(check_health()), "azure.monitor.opentelemetry" in sys.modules, flush=True)
    os._exit(0)  # Azure ends a worker without waiting for the exporters
"""

WITH_TELEMETRY = {
    "APPLICATIONINSIGHTS_CONNECTION_STRING": (
        "InstrumentationKey=00000000-0000-0000-0000-000000000000;"
        "IngestionEndpoint=http://127.0.0.1:9/"
    ),
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
}
"""Telemetry is enabled, and nothing listens at its endpoint."""


@pytest.mark.timeout(600)
@pytest.mark.skipif(not {"CI", "CLOUD"} & set(os.environ), reason="slow: make test CLOUD=1")
def test_the_package_runs_with_only_its_requirements(dirty_tree, stack, tmp_path):
    folder = tmp_path / "package"
    pack(dirty_tree, folder, INTERPRETATIONS["like git"])
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    install = [python, "-m", "pip", "install", "-q", "-r", folder / "requirements.txt"]
    subprocess.run(install, check=True)

    result = subprocess.run(
        [python, "-c", textwrap.dedent(PROGRAM)],
        cwd=folder,
        env={
            **deployed(stack), **WITH_TELEMETRY,
            "PATH": os.environ["PATH"], "PYTHONNOUSERSITE": "1",
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "status='ok'" in result.stdout, result.stderr
    assert result.stdout.endswith("True\n")
