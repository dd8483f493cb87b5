"""Runs everything on this machine: Table Storage, Web PubSub and the app, without an account.

    python -m local [--data DIR]

Ctrl-C stops all of it. The data is stored in .local/ and is used again by the next start. The app
uses the local parts even if its settings have other connection strings.
In GitHub Codespaces, and with --public-url, one more port serves the app and Web PubSub together,
which a tunnel can forward to.
"""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from local.forward import codespace_url
from local.functions.errors import LoadError
from local.functions.json_files import read_json_object
from local.other_parts import WEBPUBSUB_EMULATOR
from local.parts import Ports, start_forwarder, start_stack, stop_all
from local.ports import is_taken
from local.process import ROOT, Part, PartError

CHECK_INTERVAL_SECONDS = 0.25
PUBLIC_PORT = 7070
PROBE_BYTES = 64 * 1024
LOW_SPACE_BYTES = 500_000_000
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """The command line."""
    given = parse_arguments()
    public_url = given.public_url or codespace_url(given.public_port)
    ports = Ports(given.functions_port, given.webpubsub_port, given.tables_port)
    for number in STOP_SIGNALS:
        signal.signal(number, _exit)
    try:
        refuse_taken(ports)
        with open_folder(given.data) as data:
            check_folder(data)
            run(ports, data, public_url, given.public_port, keep=given.data != "memory")
    except (PartError, LoadError) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = Ports()
    for name, what in (
        ("functions", "the app, that is the address to open"),
        ("webpubsub", "the Web PubSub emulator"),
        ("tables", "Azurite's table service"),
    ):
        port = getattr(usual, name)
        parser.add_argument(
            f"--{name}-port",
            type=int,
            default=port,
            metavar="PORT",
            help=f"the port of {what}; default: {port}",
        )
    parser.add_argument(
        "--data",
        default=str(ROOT / ".local"),
        metavar="DIR",
        help='where data is stored; default: .local; "memory" stores nothing',
    )
    parser.add_argument(
        "--public-port",
        type=int,
        default=PUBLIC_PORT,
        metavar="PORT",
        help=f"the port that a tunnel leads to; default: {PUBLIC_PORT}",
    )
    parser.add_argument(
        "--public-url", metavar="URL", help="the address of a tunnel to the public port"
    )
    return parser.parse_args()


def refuse_taken(ports: Ports) -> None:
    """Raises PartError when a port is not free, before anything is started."""
    for flag, port in vars(ports).items():
        if is_taken(port):
            raise PartError(
                f"Port {port} is already used by another program. "
                f"Stop that one, or choose another with --{flag}-port."
            )


def run(ports: Ports, data: Path, public_url: str | None, public_port: int, *, keep: bool) -> None:
    """Runs all parts until a signal ends the process. Raises PartError if a part ends by itself."""
    began = time.monotonic()
    settings = {"WEBPUBSUB_CLIENT_ENDPOINT": public_url} if public_url else {}
    listener = partial(print, flush=True)
    stack = start_stack(ports, data, keep=keep, settings=settings, listener=listener)
    parts = list(stack.parts)
    try:
        if public_url:
            parts.append(start_forwarder(public_port, stack.url, stack.webpubsub_url, public_url))
        for line in describe_overridden(stack.environment):
            print(line, flush=True)
        for part in parts:
            part.wait()
            print(f"{part.name} is ready at {part.url}", flush=True)
        if WEBPUBSUB_EMULATOR not in os.environ:
            print(f"The traffic of Web PubSub is shown at {stack.webpubsub_url}/viewer", flush=True)
        seconds = time.monotonic() - began
        print(f"\nReady in {seconds:.1f} s. Open {public_url or stack.url}/\n", flush=True)
        watch(parts)
    finally:
        print("\nStopping.", flush=True)
        stop_all(parts[len(stack.parts) :])
        stack.stop()


def describe_overridden(addresses: Mapping[str, str]) -> Iterator[str]:
    """A line for each setting of the developer that the local parts override."""
    example = _read_values("local.settings.json.example")
    own = _read_values("local.settings.json")
    from_file = dict.fromkeys(own, "local.settings.json")
    sources = {**from_file, **dict.fromkeys(os.environ, "the environment")}
    for name, address in addresses.items():
        value = os.environ.get(name, own.get(name))
        if value and value not in (address, example.get(name)):
            yield f"{name} of {sources[name]} is not used: the app uses the local parts."


def _read_values(name: str) -> dict[str, str]:
    values: dict[str, str] = read_json_object(ROOT / name).get("Values", {})
    return values


def watch(parts: list[Part]) -> None:
    """Never returns. Raises PartError if a part has ended."""
    while True:
        for part in parts:
            part.check()
        time.sleep(CHECK_INTERVAL_SECONDS)


@contextlib.contextmanager
def open_folder(name: str) -> Iterator[Path]:
    """Where the parts store their data: a folder that stays, or one for this run only."""
    if name == "memory":
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
    else:
        folder = Path(name).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def check_folder(folder: Path) -> None:
    """Print a warning if there is little space. Raises PartError if nothing can be written."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
    except OSError as error:
        raise PartError(
            f"Nothing can be written to {folder}: {error.strerror}. Choose another with --data."
        ) from None
    if warning := warn_of_space(folder, shutil.disk_usage(folder).free):
        print(warning, flush=True)


def warn_of_space(folder: Path, free_bytes: int) -> str:
    """A sentence if the disk is nearly full, else nothing."""
    if free_bytes >= LOW_SPACE_BYTES:
        return ""
    return f"Only {free_bytes // 1_000_000} MB are free in {folder}: messages may not be stored."


def _exit(*_: object) -> None:
    # A second Ctrl-C must not interrupt the stop.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    main()
