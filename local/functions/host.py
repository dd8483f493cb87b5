"""The worker process: loads the app, then handles requests and runs timers until it is stopped."""

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from msgspec import Struct

from local.functions.admin import Admin
from local.functions.callers import Callers
from local.functions.concurrency import DEFAULT_HTTP_CONCURRENCY, Concurrency, read_limit
from local.functions.cors import Cors
from local.functions.declarations import Declarations, declare, is_disabled, resolve_settings
from local.functions.front import MAX_BODY_BYTES, Front
from local.functions.host_json import HostSettings
from local.functions.keys import Keys
from local.functions.loader import load
from local.functions.local_settings import LocalSettings
from local.functions.logs import start_logging
from local.functions.protocol import Server
from local.functions.supervisor import Lifeline
from local.functions.watchdog import watch
from local.functions.worker import Worker

log = logging.getLogger(__name__)

# A stop waits this long for running requests.
STOP_TIMEOUT_SECONDS = 5.0
UNLIMITED_OUTSTANDING = float("inf")


class Options(Struct, frozen=True):
    """The options of the command line and of the app's files."""

    app: Path
    host: HostSettings
    local: LocalSettings
    address: str
    port: int
    keys: Keys
    data: Path | None
    allowed_hosts: tuple[str, ...]


async def serve(options: Options, lifeline: Lifeline) -> None:
    """Hosts the app until SIGINT or SIGTERM. Raises LoadError when it cannot be loaded."""
    start_logging(options.host.log_levels)
    # Loaded while the loop runs, as in Azure: code that runs at import finds the loop.
    worker = Worker()
    declarations = declare(load(options.app), options.host, worker, options.data)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    # The supervisor sends nothing: its end becomes readable when it dies.
    loop.add_reader(lifeline.connections.control, os._exit, 1)

    front = _make_front(options, declarations, worker)
    server = Server(front.respond, lifeline.connections, MAX_BODY_BYTES)
    runner = web.ServerRunner(server, shutdown_timeout=STOP_TIMEOUT_SECONDS)
    await runner.setup()
    await web.SockSite(runner, lifeline.listener).start()
    watch(worker.running, options.host.function_timeout_seconds)
    crashed_at = lifeline.crashed_at and datetime.fromtimestamp(lifeline.crashed_at, UTC)
    timers = [
        asyncio.create_task(timer.run(resumed_from=crashed_at or None), name=timer.name)
        for timer in declarations.timers
    ]
    if crashed_at is None:
        print("\n".join(_announce(options, declarations)), flush=True)
    for name, error in declarations.errors.items():
        log.error("The function %s is in error: %s", name, error)
    lifeline.connections.announce_ready()
    await stop.wait()
    for task in timers:
        task.cancel()
    await runner.cleanup()


def _make_front(options: Options, declarations: Declarations, worker: Worker) -> Front:
    local, host = options.local, options.host
    cors = Cors(local.cors_origins, local.cors_credentials) if local.cors_origins else None
    http_concurrency = os.environ.get("HTTP_CONCURRENCY", str(DEFAULT_HTTP_CONCURRENCY))
    return Front(
        endpoints=declarations.endpoints,
        worker=worker,
        admin=Admin(declarations, _url(options)),
        keys=options.keys,
        callers=Callers(options.address, options.allowed_hosts, cors),
        concurrency=Concurrency(
            read_limit(http_concurrency, host.max_concurrent_requests),
            host.max_outstanding_requests or UNLIMITED_OUTSTANDING,
        ),
        custom_headers=host.custom_headers,
        cors=cors,
    )


def _announce(options: Options, declarations: Declarations) -> Iterator[str]:
    """What `func start` prints: every function, and where it is found."""
    if options.host.ignored:
        yield f"Ignored settings of host.json: {', '.join(options.host.ignored)}"
    yield "\nFunctions:\n"
    for endpoint in declarations.endpoints:
        methods = ",".join(sorted(endpoint.methods)) or "ALL"
        yield f"        {endpoint.function.name}: [{methods}] {_url(options)}/{endpoint.template}"
    for function in declarations.functions:
        is_running = function.name not in declarations.errors and not is_disabled(function)
        if not function.is_http and is_running:
            schedule = resolve_settings(function.trigger.schedule)
            yield f"        {function.name}: timerTrigger {schedule}"
    if options.keys.function is not None:
        yield f"\nFunction key: {options.keys.function}"
        yield f"Master key: {options.keys.master}"
    yield ""


def _url(options: Options) -> str:
    name = "localhost" if options.address in ("127.0.0.1", "0.0.0.0") else options.address  # noqa: S104
    return f"http://{name}:{options.port}"
