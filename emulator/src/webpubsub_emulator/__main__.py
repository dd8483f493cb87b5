"""The command webpubsub-emulator."""

import argparse
import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from webpubsub_emulator import __version__
from webpubsub_emulator.access_keys import endpoint_host
from webpubsub_emulator.entra import DEFAULT_PRINCIPAL_ID, DEFAULT_TENANT_ID
from webpubsub_emulator.faults import Fault, parse_fault
from webpubsub_emulator.quota import Quota
from webpubsub_emulator.server import Options, serve
from webpubsub_emulator.settings import InvalidSettingsError

if sys.platform != "win32":
    import resource

_DEFAULT_SETTINGS_FILE = Path("appsettings.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; return the exit code."""
    options = _create_parser().parse_args(arguments)
    if options.settings is None and _DEFAULT_SETTINGS_FILE.exists():
        options.settings = _DEFAULT_SETTINGS_FILE
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s webpubsub %(message)s",
        datefmt="%H:%M:%S",
    )
    _reduce_garbage_collections()
    _raise_open_file_limit()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(options))
    except (InvalidSettingsError, ValueError, OSError) as error:
        print(f"The Web PubSub emulator cannot start: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(options: argparse.Namespace) -> None:
    choices: Options = {
        "strict": options.strict,
        "control": options.control,
        "viewer": options.viewer,
        "allow_remote": options.allow_remote,
        "entra": options.entra,
        "tenant_id": options.entra_tenant,
        "principal_id": options.entra_principal,
        "allow_access_keys": not options.disable_local_auth,
    }
    if options.free_tier:
        choices["quota"] = Quota()
    tls = None
    if options.tls is not None:
        # Only here: its module imports cryptography, which takes long.
        from webpubsub_emulator.tls import load_tls_context

        tls = load_tls_context(options.tls, endpoint_host(options.endpoint or ""))
    async with serve(
        port=options.port,
        host=options.host,
        access_key=options.access_key,
        secondary_key=options.secondary_key,
        settings=options.settings,
        endpoint=options.endpoint,
        tls=tls,
        **choices,
    ) as server:
        for fault in options.fault:
            server.faults.add(fault)
        print(f"Web PubSub emulator: {server.connection_string}", flush=True)
        if server.viewer_url:
            print(f"Traffic viewer: {server.viewer_url}", flush=True)
        if server.issuer:
            print(f"Token issuer: {server.issuer.issuer}", flush=True)
        if options.tls is not None:
            print(f"Certificate: {options.tls / 'certificate.pem'}", flush=True)
        await _wait_for_signal()


def _reduce_garbage_collections() -> None:
    """Ten thousand clients are half a million long-lived objects.

    A full collection of them takes half a second, and Python's defaults start one every few
    seconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 5, 100)


def _raise_open_file_limit() -> None:
    """Each client is an open file; most systems allow a process few of them by default."""
    if sys.platform != "win32":
        _, maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
        # macOS names a limit that it then refuses.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (maximum, maximum))


async def _wait_for_signal() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Windows has no signal handlers in its loop; there Ctrl-C arrives as KeyboardInterrupt.
    with contextlib.suppress(NotImplementedError):
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stop.set)
    await stop.wait()


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="webpubsub-emulator",
        description="An emulator of Azure Web PubSub for development and tests.",
    )
    add = parser.add_argument
    add("--version", action="version", version=__version__)
    add("--port", type=int, default=8080, help="default 8080, as Microsoft's emulator")
    add("--host", default="localhost", help="address to listen on; default localhost")
    add("--endpoint", metavar="URL", help="what applications use, if not http://localhost:PORT")
    add("--access-key", metavar="KEY", help="default: the key of Microsoft's emulator")
    add("--secondary-key", metavar="KEY", help="a second valid key")
    add("--settings", type=Path, metavar="FILE", help="event handlers; default appsettings.json")
    add("--free-tier", action="store_true", help="limits: 20 connections, 20,000 messages a day")
    add("--strict", action="store_true", help="a failed event closes the client's connection")
    add(
        "--no-viewer",
        dest="viewer",
        action="store_false",
        help="no traffic viewer at /viewer",
    )
    add("--control", action="store_true", help="control endpoint /emulator/... for tests")
    add(
        "--allow-remote",
        action="store_true",
        help="let other machines use viewer and control endpoint; for containers",
    )
    entra = parser.add_argument_group("Microsoft Entra ID and TLS")
    add = entra.add_argument
    add("--entra", action="store_true", help="local token issuer; REST accepts its tokens")
    add("--entra-tenant", metavar="ID", default=DEFAULT_TENANT_ID)
    add(
        "--entra-principal",
        metavar="ID",
        default=DEFAULT_PRINCIPAL_ID,
        help="subject of the service's managed identity",
    )
    add("--disable-local-auth", action="store_true", help="REST refuses access keys")
    add(
        "--tls",
        type=Path,
        metavar="DIR",
        help="serve https and wss with a certificate that is made in DIR",
    )
    parser.add_argument(
        "--fault",
        type=_fault_argument,
        action="append",
        default=[],
        metavar="TARGET:ACTION[:COUNT[:DETAIL]]",
        help="a fault for the next COUNT operations: upstream, rest or frame; "
        "refuse (DETAIL is a status), delay (seconds) or drop",
    )
    parser.add_argument("--verbose", action="store_true", help="log opened and closed connections")
    return parser


def _fault_argument(text: str) -> Fault:
    try:
        return parse_fault(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
