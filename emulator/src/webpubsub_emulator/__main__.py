"""Run the emulator: python -m webpubsub_emulator"""

import argparse
import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from webpubsub_emulator.faults import Fault, read_fault
from webpubsub_emulator.quota import Quota
from webpubsub_emulator.server import Options, serve
from webpubsub_emulator.settings import InvalidSettingsError

if sys.platform != "win32":
    import resource

_DEFAULT_SETTINGS = Path("appsettings.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; the exit code says whether it could."""
    options = _parser().parse_args(arguments)
    if options.settings is None and _DEFAULT_SETTINGS.exists():
        options.settings = _DEFAULT_SETTINGS
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s webpubsub %(message)s",
        datefmt="%H:%M:%S",
    )
    _collect_garbage_rarely()
    _allow_many_sockets()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(options))
    except (InvalidSettingsError, ValueError, OSError) as error:
        print(f"The Web PubSub emulator cannot start: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(options: argparse.Namespace) -> None:
    choices: Options = {"strict": options.strict, "admin": options.admin}
    if options.free_tier:
        choices["quota"] = Quota()
    async with serve(
        port=options.port,
        host=options.host,
        access_key=options.access_key,
        secondary_key=options.secondary_key,
        settings=options.settings,
        endpoint=options.endpoint,
        **choices,
    ) as server:
        for fault in options.fault:
            server.faults.order(fault)
        print(f"Web PubSub emulator: {server.connection_string}", flush=True)
        await _asked_to_stop()


def _collect_garbage_rarely() -> None:
    """Ten thousand clients are half a million objects that live long. To look through all of them
    holds everybody up for half a second, and Python's defaults do it every few seconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 5, 100)


def _allow_many_sockets() -> None:
    """Every client is an open file; most systems allow a process few of them until it asks."""
    if sys.platform != "win32":
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        # macOS names a limit that it then refuses.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _asked_to_stop() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Windows has no signal handlers in its loop; there Ctrl-C arrives as KeyboardInterrupt.
    with contextlib.suppress(NotImplementedError):
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stop.set)
    await stop.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m webpubsub_emulator", description="Azure Web PubSub on one desk."
    )
    add = parser.add_argument
    add("--port", type=int, default=8080, help="default 8080, as the official emulator")
    add("--host", default="localhost", help="what to listen on; default localhost")
    add("--endpoint", help="the address that applications use, if not http://localhost:PORT")
    add("--access-key", metavar="K", help="default: the official emulator's key")
    add("--secondary-key", metavar="K", help="a second key, honoured like the first")
    add("--settings", type=Path, metavar="FILE", help="event handlers; default appsettings.json")
    add("--free-tier", action="store_true", help="20 connections, 20,000 messages a day")
    add("--strict", action="store_true", help="a failed event costs the client its connection")
    add(
        "--admin",
        action="store_true",
        help="open /emulator/faults and /emulator/cut to loopback",
    )
    add(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="TARGET:ACTION[:COUNT[:DETAIL]]",
        help="trouble for the next COUNT: upstream, rest or frame; "
        "refuse (DETAIL is a status), delay (seconds) or drop",
    )
    add("--verbose", action="store_true", help="log connections as they come and go")
    return parser


def _fault(words: str) -> Fault:
    try:
        return read_fault(words)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
