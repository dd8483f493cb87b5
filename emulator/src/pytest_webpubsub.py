"""Fixtures for pytest: a started Web PubSub emulator on a free port.

    def test_hello(webpubsub):
        @webpubsub.on("chat", "say")
        def say(event):
            return {"echo": event.text}

        service = WebPubSubServiceClient.from_connection_string(
            webpubsub.connection_string, hub="chat"
        )

The module imports the emulator only when a fixture is used, so that it costs other tests nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from webpubsub_emulator.testing import EmulatorInThread, EmulatorProcess


@pytest.fixture
def webpubsub_options() -> dict[str, Any]:
    """Options of the `webpubsub` fixture; override it to change them. See server.Options."""
    return {}


@pytest.fixture
def webpubsub_arguments() -> Sequence[str]:
    """Command-line arguments of the `webpubsub_process` fixture; override it to change them."""
    return ()


@pytest.fixture
def webpubsub(webpubsub_options: dict[str, Any]) -> Iterator[EmulatorInThread]:
    """The emulator in a thread of the test process."""
    from webpubsub_emulator.testing import EmulatorInThread

    with EmulatorInThread(**webpubsub_options) as emulator:
        yield emulator


@pytest.fixture
def webpubsub_process(webpubsub_arguments: Sequence[str]) -> Iterator[EmulatorProcess]:
    """The emulator as a process of its own."""
    from webpubsub_emulator.testing import EmulatorProcess

    with EmulatorProcess(webpubsub_arguments) as emulator:
        yield emulator
