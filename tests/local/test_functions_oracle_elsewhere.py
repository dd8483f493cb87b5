"""Runs the oracle tests under Python 3.13 where the other tests run with an older Python."""

import pytest

from tests import oracle


def test_the_oracle_tests_pass_under_a_newer_python() -> None:
    if not oracle.is_installed():
        pytest.skip("no Python 3.13 with azure-functions-runtime: run `make test`")

    result = oracle.run()

    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout.splitlines()[-1]
