"""The page's modules without DOM, tested in JavaScript by Node's test runner."""

import subprocess
from pathlib import Path

import pytest

from local.parts import node

SCRIPTS = sorted(Path(__file__).parent.glob("*.test.mjs"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_javascript_unit_tests_pass(script: Path) -> None:
    done = subprocess.run([node(), "--test", script], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout
