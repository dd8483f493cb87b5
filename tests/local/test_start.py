"""One command starts the whole product and stops all of it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import psutil
import pytest

from local.parts import Ports, Stack, start_functions, start_tables
from local.ports import free_ports, is_taken
from local.process import ROOT, PartError

DEADLINE_SECONDS = 30.0


class Command:
    """`python -m local`, and what it printed."""

    def __init__(
        self, ports: Ports, data: Path | str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.ports = ports
        flags = [f"--{part}-port={port}" for part, port in vars(ports).items()]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local", *flags, f"--data={data}"],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                "WEATHER_SCHEDULE": "0 0 0 1 1 *",
                **(environment or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.printed: list[str] = []

    @property
    def url(self) -> str:
        return f"http://localhost:{self.ports.functions}"

    def part(self, port: int) -> psutil.Process:
        """The process that listens on a port."""
        [found] = [
            child
            for child in psutil.Process(self.process.pid).children()
            if str(port) in child.cmdline()
        ]
        return found

    def ready(self) -> str:
        """The line with the address, once it is printed."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.printed.append(line)
            if "Open http" in line:
                return line
        pytest.fail("".join(self.printed))

    def ended(self) -> tuple[int, str]:
        """The exit code, and all that was printed."""
        rest, _ = self.process.communicate(timeout=DEADLINE_SECONDS)
        return self.process.returncode, "".join(self.printed) + rest


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    commands: list[Command] = []

    def start(
        ports: Ports | None = None, data: Path | str = tmp_path, **environment: str
    ) -> Command:
        commands.append(Command(ports or Ports.free(), data, environment))
        return commands[-1]

    yield start
    for command in commands:
        command.process.terminate()
        command.process.communicate(timeout=DEADLINE_SECONDS)


def test_it_starts_within_ten_seconds_and_prints_the_address(
    start: Callable[..., Command],
) -> None:
    began = time.monotonic()
    command = start(data="memory")

    line = command.ready()

    assert time.monotonic() - began < 10
    [address] = re.findall(r"http://localhost:\d+/", line)
    assert httpx.get(f"{address}api/health").json()["status"] == "ok"
    printed = "".join(command.printed)
    assert all(f"{part} is ready at " in printed for part in ("Table Storage", "Web PubSub"))
    [viewer] = re.findall(r"shown at (\S+/viewer)", printed)
    assert httpx.get(viewer).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_stops_everything(start: Callable[..., Command], number: signal.Signals) -> None:
    command = start()
    command.ready()

    command.process.send_signal(number)
    code, printed = command.ended()

    assert code == 0
    assert "Traceback" not in printed
    assert not any(is_taken(port) for port in vars(command.ports).values())


def test_a_taken_port_is_named_before_anything_starts(
    stack: Stack, start: Callable[..., Command]
) -> None:
    taken = int(stack.tables.address.split(":")[1])
    functions, webpubsub = free_ports(2)

    code, printed = start(Ports(functions, webpubsub, taken)).ended()

    assert code == 1
    assert printed.strip() == (
        f"Port {taken} is already used by another program. "
        "Stop that one, or choose another with --tables-port."
    )


def test_a_part_that_dies_is_named_and_the_others_stop(start: Callable[..., Command]) -> None:
    command = start()
    command.ready()

    command.part(command.ports.tables).kill()
    code, printed = command.ended()

    assert code == 1
    assert "Table Storage stopped with code -9." in printed
    assert not is_taken(command.ports.functions)
    assert not is_taken(command.ports.webpubsub)


def test_a_part_that_cannot_start_sends_why(start: Callable[..., Command], tmp_path: Path) -> None:
    (tmp_path / "tables").write_text("a file, where a folder is needed")

    code, printed = start().ended()

    assert code == 1
    assert "Table Storage stopped with code 1. It said last:" in printed


def test_messages_survive_a_restart(start: Callable[..., Command]) -> None:
    first = start()
    first.ready()
    ann = httpx.post(f"{first.url}/api/negotiate", json={"user_id": "ann"}).json()
    message = {"content": "hello", "from": "ann"}
    httpx.post(f"{first.url}/api/rooms/lobby/message", json=message).raise_for_status()
    first.process.send_signal(signal.SIGINT)
    first.ended()

    second = start()
    second.ready()

    history = httpx.get(
        f"{second.url}/api/rooms/lobby/history",
        headers={"Authorization": f"Bearer {ann['session']}"},
    ).json()
    assert [message["content"] for message in history["messages"]] == ["hello"]


def test_a_killed_part_starts_again_at_its_address(stack: Stack) -> None:
    [port] = free_ports(1)
    second = start_functions(port, stack.environment)
    second.wait()

    second.kill()
    assert not second.answers()
    second.start()
    second.wait()

    assert httpx.get(f"{second.url}/api/health/details").json()["checks"]["tables"] == "ok"
    second.stop()
    assert second.process.returncode == 0


def test_a_part_that_never_answers_is_an_error(tmp_path: Path) -> None:
    part = start_tables(free_ports(1)[0], tmp_path)
    part.ready_path = "/"
    part.url = f"http://127.0.0.1:{free_ports(1)[0]}"

    with pytest.raises(PartError, match="Table Storage does not answer at"):
        part.wait(seconds=0.3)

    part.stop()


def test_a_setting_that_is_not_used_is_named(start: Callable[..., Command]) -> None:
    own = "Endpoint=https://own.webpubsub.azure.com;AccessKey=x;Version=1.0;"
    command = start(data="memory", WEBPUBSUB_CONNECTION_STRING=own)
    command.ready()

    printed = "".join(command.printed)
    assert (
        "WEBPUBSUB_CONNECTION_STRING of the environment is not used: the app uses the local parts."
    ) in printed
    assert "TABLES_CONNECTION_STRING of" not in printed
    assert "own.webpubsub" not in printed


def test_the_help_names_ports_and_options() -> None:
    command = [sys.executable, "-m", "local", "--help"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert all(text in printed for text in ("7071", "8080", "10002", ".local", '"memory"'))


def test_a_data_folder_that_cannot_be_made_is_one_sentence(
    start: Callable[..., Command], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")

    code, printed = start(data=tmp_path / "file" / "data").ended()

    assert code == 1
    assert printed == f"{tmp_path / 'file'}/data: Not a directory\n"


def test_no_part_outlives_a_killed_parent(start: Callable[..., Command]) -> None:
    command = start()
    command.ready()
    parts = psutil.Process(command.process.pid).children(recursive=True)

    command.process.kill()

    _, alive = psutil.wait_procs(parts, timeout=DEADLINE_SECONDS)
    assert alive == []
    assert not any(is_taken(port) for port in vars(command.ports).values())


def test_a_killed_part_takes_its_children_with_it(stack: Stack) -> None:
    part = start_functions(free_ports(1)[0], stack.environment)
    part.wait()
    processes = psutil.Process(part.process.pid).children(recursive=True)

    part.kill()

    assert len(processes) == 1
    assert psutil.wait_procs(processes, timeout=DEADLINE_SECONDS)[1] == []
