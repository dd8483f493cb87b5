"""`python -m local` starts and stops all parts."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from local.__main__ import warn_of_space
from local.parts import Ports, Stack, start_functions, start_tables
from local.ports import free_ports, is_taken
from local.process import ROOT, PartError
from tests import fetch

DEADLINE_SECONDS = 30.0


class Command:
    """`python -m local` and its output."""

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

    def wait_until_ready(self) -> str:
        """The line with the address, once it is printed."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.printed.append(line)
            if "Open http" in line:
                return line
        pytest.fail("".join(self.printed))

    def wait_for_end(self) -> tuple[int, str]:
        """The exit code, and the whole output."""
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


def test_the_command_starts_and_prints_the_address(
    start: Callable[..., Command],
) -> None:
    command = start(data="memory")

    line = command.wait_until_ready()

    [address] = re.findall(r"http://localhost:\d+/", line)
    assert fetch.get(f"{address}api/health").json()["status"] == "ok"
    output = "".join(command.printed)
    assert all(f"{part} is ready at " in output for part in ("Table Storage", "Web PubSub"))
    [viewer] = re.findall(r"shown at (\S+/viewer)", output)
    assert fetch.get(viewer).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_every_part(start: Callable[..., Command], number: signal.Signals) -> None:
    command = start()
    command.wait_until_ready()

    command.process.send_signal(number)
    code, output = command.wait_for_end()

    assert code == 0
    assert "Traceback" not in output
    assert not any(is_taken(port) for port in vars(command.ports).values())


def test_a_taken_port_is_named_before_anything_starts(
    stack: Stack, start: Callable[..., Command]
) -> None:
    taken = int(stack.tables.address.split(":")[1])
    functions, webpubsub = free_ports(2)

    code, output = start(Ports(functions, webpubsub, taken)).wait_for_end()

    assert code == 1
    assert output.strip() == (
        f"Port {taken} is already used by another program. "
        "Stop that one, or choose another with --tables-port."
    )


def test_a_part_that_exits_is_named_and_the_others_stop(start: Callable[..., Command]) -> None:
    command = start()
    command.wait_until_ready()

    command.part(command.ports.tables).kill()
    code, output = command.wait_for_end()

    assert code == 1
    assert "Table Storage stopped with code -9." in output
    assert not is_taken(command.ports.functions)
    assert not is_taken(command.ports.webpubsub)


def test_the_output_of_a_part_that_cannot_start_is_printed(
    start: Callable[..., Command], tmp_path: Path
) -> None:
    (tmp_path / "tables").write_text("a file, where a folder is needed")

    code, output = start().wait_for_end()

    assert code == 1
    assert "Table Storage stopped with code 1. Last output:" in output


def test_messages_survive_a_restart(start: Callable[..., Command]) -> None:
    first = start()
    first.wait_until_ready()
    ann = fetch.post(f"{first.url}/api/negotiate", json={"user_id": "ann"}).json()
    message = {"content": "hello", "from": "ann"}
    fetch.post(f"{first.url}/api/rooms/lobby/message", json=message).raise_for_status()
    first.process.send_signal(signal.SIGINT)
    first.wait_for_end()

    second = start()
    second.wait_until_ready()

    history = fetch.get(
        f"{second.url}/api/rooms/lobby/history",
        headers={"Authorization": f"Bearer {ann['session']}"},
    ).json()
    assert [message["content"] for message in history["messages"]] == ["hello"]


def test_a_killed_part_starts_again_at_its_address(stack: Stack) -> None:
    [port] = free_ports(1)
    second = start_functions(port, stack.environment)
    second.wait()

    second.kill()
    assert not second.is_ready()
    second.start()
    second.wait()

    assert fetch.get(f"{second.url}/api/health/details").json()["checks"]["tables"] == "ok"
    second.stop()
    assert second.process.returncode == 0


def test_a_part_that_is_never_ready_is_an_error(tmp_path: Path) -> None:
    part = start_tables(free_ports(1)[0], tmp_path)
    part.ready_path = "/"
    part.url = f"http://127.0.0.1:{free_ports(1)[0]}"

    with pytest.raises(PartError, match="Table Storage does not respond at"):
        part.wait(seconds=0.3)

    part.stop()


def test_a_setting_that_is_not_used_is_named(start: Callable[..., Command]) -> None:
    own = "Endpoint=https://own.webpubsub.azure.com;AccessKey=x;Version=1.0;"
    command = start(data="memory", WEBPUBSUB_CONNECTION_STRING=own)
    command.wait_until_ready()

    output = "".join(command.printed)
    assert (
        "WEBPUBSUB_CONNECTION_STRING of the environment is not used: the app uses the local parts."
    ) in output
    assert "TABLES_CONNECTION_STRING of" not in output
    assert "own.webpubsub" not in output


def test_the_help_names_ports_and_options() -> None:
    command = [sys.executable, "-m", "local", "--help"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert all(text in output for text in ("7071", "8080", "10002", ".local", '"memory"'))


def test_an_invalid_data_folder_is_reported_in_one_line(
    start: Callable[..., Command], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")

    code, output = start(data=tmp_path / "file" / "data").wait_for_end()

    assert code == 1
    assert output == f"{tmp_path / 'file'}/data: Not a directory\n"


@pytest.mark.skipif(sys.platform != "linux", reason="a folder in which nobody can write")
def test_a_data_folder_that_cannot_be_written_is_one_sentence(
    start: Callable[..., Command],
) -> None:
    code, printed = start(data=Path("/sys/kernel")).wait_for_end()

    assert code == 1
    assert printed.startswith("Nothing can be written to /sys/kernel: ")
    assert printed.count("\n") == 1


def test_a_disk_that_is_nearly_full_is_named_at_the_start() -> None:
    folder = Path("/data")

    assert warn_of_space(folder, 500_000_000) == ""
    expected = "Only 12 MB are free in /data: messages may not be stored."
    assert warn_of_space(folder, 12_345_678) == expected


def test_no_part_outlives_a_killed_parent(start: Callable[..., Command]) -> None:
    command = start()
    command.wait_until_ready()
    parts = psutil.Process(command.process.pid).children(recursive=True)

    command.process.kill()

    _, alive = psutil.wait_procs(parts, timeout=DEADLINE_SECONDS)
    assert alive == []
    assert not any(is_taken(port) for port in vars(command.ports).values())


def test_killing_a_part_kills_its_children(stack: Stack) -> None:
    part = start_functions(free_ports(1)[0], stack.environment)
    part.wait()
    processes = psutil.Process(part.process.pid).children(recursive=True)

    part.kill()

    assert len(processes) == 1
    assert psutil.wait_procs(processes, timeout=DEADLINE_SECONDS)[1] == []
