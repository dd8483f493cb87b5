"""Runs everything on this machine: Table Storage, Web PubSub and the app, without an account.

    python -m local [--data DIR]

Ctrl-C stops all of it. The data is stored in .local/ and is there again next time.
In GitHub Codespaces, and with --public-url, one more port serves the app and Web PubSub together,
for the tunnel through which browsers come.
"""

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from local.forward import codespace_url
from local.parts import (
    ROOT,
    Part,
    PartError,
    Ports,
    is_taken,
    start_desk,
    start_forwarder,
    stop_all,
)

WATCH_SECONDS = 0.25
PUBLIC_PORT = 7070


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = Ports()
    parser.add_argument("--functions-port", type=int, default=usual.functions, metavar="PORT")
    parser.add_argument("--webpubsub-port", type=int, default=usual.webpubsub, metavar="PORT")
    parser.add_argument("--tables-port", type=int, default=usual.tables, metavar="PORT")
    parser.add_argument(
        "--data", default=str(ROOT / ".local"), metavar="DIR", help='"memory" keeps nothing'
    )
    parser.add_argument("--public-port", type=int, default=PUBLIC_PORT, metavar="PORT")
    parser.add_argument(
        "--public-url", metavar="URL", help="the address of a tunnel to the public port"
    )
    given = parser.parse_args()
    public_url = given.public_url or codespace_url(given.public_port)
    ports = Ports(given.functions_port, given.webpubsub_port, given.tables_port)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        refuse_taken(ports)
        with folder(given.data) as data:
            run(ports, data, public_url, given.public_port, keep=given.data != "memory")
    except PartError as error:
        sys.exit(str(error))


def refuse_taken(ports: Ports) -> None:
    """PartError when a port is not free, before anything is started."""
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
    desk = start_desk(ports, data, keep=keep, settings=settings, listener=listener)
    parts = list(desk.parts)
    try:
        if public_url:
            parts.append(start_forwarder(public_port, desk.url, desk.webpubsub_url, public_url))
        for part in parts:
            part.wait()
            print(f"{part.name} is ready at {part.url}", flush=True)
        seconds = time.monotonic() - began
        print(f"\nReady in {seconds:.1f} s. Open {public_url or desk.url}/\n", flush=True)
        watch(parts)
    finally:
        print("\nStopping.", flush=True)
        stop_all(parts[len(desk.parts) :])
        desk.stop()


def watch(parts: list[Part]) -> None:
    """Never returns. Raises PartError if a part has ended."""
    while True:
        for part in parts:
            part.check()
        time.sleep(WATCH_SECONDS)


@contextlib.contextmanager
def folder(name: str) -> Iterator[Path]:
    """The folder of the parts' data: one that stays, or a temporary one for `memory`."""
    if name == "memory":
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
    else:
        permanent = Path(name).resolve()
        permanent.mkdir(parents=True, exist_ok=True)
        yield permanent


def _leave(*_: object) -> None:
    # A second Ctrl-C must not interrupt the stopping.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    main()
