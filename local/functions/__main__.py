"""The command line of the Functions host: see `python -m local.functions --help`.

Only the standard library is imported before the worker process is made, so that the supervisor
stays small and every worker starts clean.
"""

import argparse
import gc
import os
import secrets
import socket
import sys
from pathlib import Path

import local.functions
from local.functions.errors import LoadError
from local.functions.host_json import read_host_settings
from local.functions.local_settings import parse_origins, read_local_settings
from local.functions.supervisor import Lifeline, Supervisor

BACKLOG = 1024


def main() -> None:
    """Hosts an app until it is stopped."""
    given = parse_arguments()
    try:
        host, settings = read_host_settings(given.app), read_local_settings(given.app)
        address, port = given.address or settings.address, given.port or settings.port
        if given.cors is not None:
            settings = settings._replace(cors_origins=parse_origins(given.cors))
        if given.data is not None:
            given.data.mkdir(parents=True, exist_ok=True)
        listener = listen(address, port)
        os.environ["WEBSITE_HOSTNAME"] = f"localhost:{port}"  # as Core Tools sets it
        os.chdir(given.app)
    except LoadError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")

    def work(lifeline: Lifeline) -> int:
        """Runs in the worker process; returns its exit code."""
        gc.disable()  # until the app is imported: nearly all that imports make stays
        import asyncio

        from local.functions.event_loop import make_event_loop
        from local.functions.host import Options, serve
        from local.functions.keys import Keys

        keys = Keys(given.key, given.master_key) if given.enable_auth else Keys()
        names = tuple(given.allow_host)
        options = Options(given.app, host, settings, address, port, keys, given.data, names)
        try:
            with asyncio.Runner(loop_factory=make_event_loop) as runner:
                runner.run(serve(options, lifeline))
        except LoadError as error:
            print(error, file=sys.stderr)
            return 1
        # Azure ends a worker without notice: an app cannot close its clients, and need not here.
        return 0

    sys.exit(Supervisor(listener, work).run())


def listen(address: str, port: int) -> socket.socket:
    """The socket that all workers accept from. Raises LoadError."""
    try:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((address, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LoadError(f"cannot listen on {address}, port {port}: {reason}") from error


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.functions",
        description=local.functions.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--app",
        type=_folder,
        default=Path.cwd(),
        metavar="DIR",
        help="the app's folder; default: the current one",
    )
    parser.add_argument(
        "--address", help="where to listen; default: Host.LocalHttpAddress, else 127.0.0.1"
    )
    parser.add_argument("--port", type=int, help="default: Host.LocalHttpPort, else 7071")
    parser.add_argument(
        "--cors",
        metavar="ORIGINS",
        help="origins whose pages may call, separated by commas; default: Host.CORS",
    )
    parser.add_argument(
        "--data",
        type=_folder,
        metavar="DIR",
        help="where timers store their last run; default: nowhere",
    )
    parser.add_argument(
        "--enable-auth", action="store_true", help="require keys, as Azure does; default: do not"
    )
    parser.add_argument(
        "--key",
        default=os.environ.get("FUNCTIONS_KEY") or secrets.token_urlsafe(24),
        help="the function key; default: $FUNCTIONS_KEY, else a new one",
    )
    parser.add_argument(
        "--master-key",
        default=os.environ.get("FUNCTIONS_MASTER_KEY") or secrets.token_urlsafe(24),
        help="the key of functions and routes for administrators; default: "
        "$FUNCTIONS_MASTER_KEY, else a new one",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        metavar="NAME",
        default=os.environ.get("FUNCTIONS_ALLOWED_HOSTS", "").replace(",", " ").split(),
        help="a further host name to answer to, such as that of a proxy, or * for any; "
        "default: $FUNCTIONS_ALLOWED_HOSTS, a comma list",
    )
    return parser.parse_args()


def _folder(text: str) -> Path:
    return Path(text).resolve()


if __name__ == "__main__":
    main()
