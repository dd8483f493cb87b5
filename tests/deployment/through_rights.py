"""A pytest plugin: the app under test reaches Azurite and the emulator through the rights proxies.

    pytest -p tests.deployment.through_rights tests/test_history.py

The last test of a run fails if an operation was rejected.
"""

import sys
from collections.abc import Iterator

import pytest

from local import parts
from local.parts import Part, free_ports

proxies: list[Part] = []


def start_proxy(service: str, target: str, *roles: str) -> Part:
    """A proxy on a free port, with the roles of infra/ unless others are named."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "tests.deployment.rights_proxy", service, str(port), target]
    scheme = target.partition(":")[0]
    proxy = Part(f"rights of {service}", f"{scheme}://localhost:{port}", "/", [*command, *roles])
    proxy.start()
    proxy.wait_for_output(lambda line: line == "ready")
    return proxy


def refused(proxy: Part) -> list[str]:
    """The rejected operations, and errors of the proxy."""
    return [line for line in proxy.output if not line.startswith("ready")]


def pytest_configure() -> None:
    direct = parts.environment_of

    def through_proxies(webpubsub_url: str, tables_url: str, *others: str) -> dict[str, str]:
        proxies.append(start_proxy("tables", tables_url))
        proxies.append(start_proxy("webpubsub", webpubsub_url))
        return direct(proxies[-1].url, proxies[-2].url, *others)

    parts.environment_of = through_proxies


@pytest.fixture(scope="session", autouse=True)
def no_operation_refused() -> Iterator[None]:
    """Fails at the end of a run in which the roles refused an operation."""
    yield
    lines = [line for proxy in proxies for line in refused(proxy)]
    for proxy in proxies:
        proxy.stop()
    assert proxies, "no test reached the app through the proxies"
    assert lines == []
