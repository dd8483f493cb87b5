"""Runs one example with everything that it needs on this machine.

    python -m examples NAME

It starts the local parts (the app, Web PubSub, tables) and the example. Ctrl-C stops all of it.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from local.parts import Ports, start_stack
from local.process import ROOT, PartError

EXAMPLES = {
    "chat_widget": ["serve"],
    "sensor_dashboard": ["serve", "push.py"],
    "bot": ["bot.py"],
    "own_login": ["app.py"],
}
"""The programs of each example; `serve` serves its folder as a static site."""

SITE_PORT = 8000
"""The example of the app's settings allows pages of this port."""

CHECK_INTERVAL_SECONDS = 0.25


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m examples", description=__doc__)
    parser.add_argument("name", choices=sorted(EXAMPLES))
    usual = Ports()
    for part in ("functions", "webpubsub", "tables"):
        parser.add_argument(f"--{part}-port", type=int, default=getattr(usual, part))
    given = parser.parse_args()
    ports = Ports(given.functions_port, given.webpubsub_port, given.tables_port)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        run(given.name, ports)
    except PartError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("\nStopping.", flush=True)


def run(name: str, ports: Ports) -> None:
    """Runs until one of the programs ends. Raises PartError."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        parts = start_stack(ports, folder, keep=False)
        stack.callback(parts.stop)
        parts.wait()
        programs = [start_program(name, program, parts.url) for program in EXAMPLES[name]]
        for one in programs:
            stack.callback(stop_program, one)
        print(f"\nTownsquare runs at {parts.url}, the example is ready.", flush=True)
        if name != "bot":
            print(f"Open http://localhost:{SITE_PORT}/", flush=True)
        while all(one.poll() is None for one in programs):
            for part in parts.parts:
                part.check()
            time.sleep(CHECK_INTERVAL_SECONDS)


def start_program(name: str, program: str, url: str) -> subprocess.Popen[bytes]:
    """Starts a program of an example, with the address of the app and a key in its environment."""
    folder = ROOT / "examples" / name
    if program == "serve":
        command = [
            *(sys.executable, "-m", "http.server", str(SITE_PORT)),
            *("--bind", "localhost", "--directory", str(folder)),
        ]
    else:
        command = [sys.executable, str(folder / program)]
    return subprocess.Popen(command, env={**os.environ, **environment_of(url)})


def environment_of(url: str) -> Mapping[str, str]:
    """What the programs read. The client is that of this checkout, whatever is installed."""
    return {
        "TOWNSQUARE_URL": url,
        "TOWNSQUARE_KEY": "any key: the local app asks for none",
        "PYTHONPATH": str(ROOT / "clients/python/src"),
    }


def stop_program(program: subprocess.Popen[bytes]) -> None:
    program.terminate()
    program.wait()


if __name__ == "__main__":
    main()
