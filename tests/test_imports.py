"""What an import of the app does not import, so that a new instance responds early."""

import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest

from local.parts import ROOT

LATER = {
    "azure.identity": "an app with a connection string needs none",
    "azure.monitor": "only telemetry that is enabled",
    "confusable_homoglyphs.confusables": "a name with other than ASCII characters",
    "emoji": "a reaction",
    "httpx": "a provider or an issuer",
    "opentelemetry": "only telemetry that is enabled",
    "pages.openapi": "the API document",
    "pages.schemas": "the API document",
    "psutil": "the metrics",
    "pydantic": "nothing",
    "requests": "nothing",
    "urllib3": "nothing",
}
"""Modules that are slow to import, and what imports them later."""

PACKAGES = {
    "aiohappyeyeballs", "aiohttp", "aiosignal", "attr", "azure", "cachetools", "cffi",
    "cryptography", "frozenlist", "idna", "isodate", "jwt", "markupsafe", "msgspec", "multidict",
    "propcache", "typing_extensions", "werkzeug", "yarl",
}  # fmt: skip
"""The packages that an import of the app may import: the SDKs, and what they need."""


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The modules that a new process has after it imported the app."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys, function_app; print(*sys.modules, sep=chr(10))"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


@pytest.mark.parametrize("module", LATER)
def test_a_slow_module_is_imported_when_it_is_used(imported: set[str], module: str) -> None:
    assert {one for one in imported if f"{one}.".startswith(f"{module}.")} == set()


def test_no_further_package_is_imported(imported: set[str]) -> None:
    """A package that is needed later is imported where it is used, or named here."""
    owners = packages_distributions()
    packages = {one.partition(".")[0] for one in imported}

    assert {one for one in packages if one in owners and not one.startswith("_")} <= PACKAGES


def test_the_clients_start_no_program() -> None:
    """Python describes the platform with `uname`, a program that a new instance would wait for."""
    code = """
import sys
programs = []
sys.addaudithook(lambda event, args: programs.append(args) if event == "subprocess.Popen" else None)
from realtime.azure.tables import TABLE_NAMES, connect_tables
from realtime.azure.web_pubsub import connect_hub
from realtime.settings import Settings
settings = Settings(
    tables_connection_string="AccountName=a;AccountKey=a2V5;TableEndpoint=http://localhost:1/a;",
    webpubsub_connection_string="Endpoint=http://localhost:2;AccessKey=key;Version=1.0;",
)
tables, hub = connect_tables(settings), connect_hub(settings)
clients = [tables.open(name) for name in TABLE_NAMES]
print(programs)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"
