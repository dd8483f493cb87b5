"""The whole product on one desk: Table Storage, Web PubSub and the app, without an account.

    python -m local [--data DIR]

Ctrl-C stops all of it. What was said is kept in .local/ and is there again next time.
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

from local.parts import ROOT, Desk, PartError, Ports, is_taken, start_desk

WATCH_SECONDS = 0.25


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
    given = parser.parse_args()
    ports = Ports(given.functions_port, given.webpubsub_port, given.tables_port)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        refuse_taken(ports)
        with folder(given.data) as data:
            run(ports, data, keep=given.data != "memory")
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


def run(ports: Ports, data: Path, *, keep: bool) -> None:
    """Runs the desk until somebody stops it; PartError when a part ends by itself."""
    began = time.monotonic()
    desk = start_desk(ports, data, keep=keep, listener=partial(print, flush=True))
    try:
        for part in desk.parts:
            part.wait()
            print(f"{part.name} is ready at {part.url}", flush=True)
        seconds = time.monotonic() - began
        print(f"\nReady in {seconds:.1f} s. Open {desk.url}/\n", flush=True)
        watch(desk)
    finally:
        print("\nStopping.", flush=True)
        desk.stop()


def watch(desk: Desk) -> None:
    """Returns never: raises PartError when a part has died."""
    while True:
        for part in desk.parts:
            part.check()
        time.sleep(WATCH_SECONDS)


@contextlib.contextmanager
def folder(name: str) -> Iterator[Path]:
    """Where the parts keep their data: a folder that stays, or one for this run only."""
    if name == "memory":
        with tempfile.TemporaryDirectory() as passing:
            yield Path(passing)
    else:
        kept = Path(name).resolve()
        kept.mkdir(parents=True, exist_ok=True)
        yield kept


def _leave(*_: object) -> None:
    # A second Ctrl-C must not interrupt the stopping.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    main()
