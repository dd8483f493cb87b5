"""What tests share: the whole desk, started once, and a browser to look at it with."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.parts import Desk, Ports, start_desk

# Beside these, the app runs with the values of local.settings.json.example.
SETTINGS = {
    "METRICS_SCHEDULE": "* * * * * *",  # a first tick is soon there
    "WEATHER_SCHEDULE": "0 0 0 1 1 *",  # no test asks the world for its weather
    # Tests are faster than people; the limits themselves are tested on a host of their own.
    "MESSAGES_PER_MINUTE": "60000",
    "JOINS_PER_MINUTE": "60000",
    "NEGOTIATES_PER_MINUTE": "60000",
}

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "msedge")
MAC_BROWSERS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """All parts on free ports, keeping nothing: the app, the emulator and the tables."""
    desk = start_desk(Ports.free(), tmp_path_factory.mktemp("desk"), keep=False, settings=SETTINGS)
    try:
        desk.wait()
        yield desk
    finally:
        desk.stop()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of an installed browser that Playwright can drive."""
    for name in (os.environ.get("CHROMIUM", ""), *BROWSERS, *MAC_BROWSERS):
        if name and (found := shutil.which(name)):
            return str(Path(found).resolve())
    reason = "no Chromium, Chrome or Edge: `apt-get install chromium`, or set CHROMIUM to its path"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
