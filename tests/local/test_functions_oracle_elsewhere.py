"""The oracle tests run under Python 3.13 where the Python of the other tests is older."""

import pytest

from tests import oracle


def test_the_oracle_tests_pass_under_a_newer_python() -> None:
    if not oracle.is_installed():
        pytest.skip("no Python 3.13 with azure-functions-runtime: run `make test`")

    ended = oracle.run()

    assert ended.returncode == 0, ended.stdout
    assert " passed" in ended.stdout.splitlines()[-1]
