"""Calls the functions of the app, as the Python worker of Azure Functions does.

Requests, responses and timers are converted by the SDK's own converters, so they behave as
in Azure.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import azure.functions as azure_functions
from azure.functions.meta import Datum
from msgspec import Struct, field

from local.functions import invocations
from local.functions.invocations import Invocation

HTTP_TRIGGER, HTTP_OUTPUT, TIMER_TRIGGER = "httpTrigger", "http", "timerTrigger"
CONVERTERS = azure_functions.get_binding_registry()

# The real host sets this for its worker, independent of the number of processors.
DEFAULT_THREADS = 1000


class Function(Struct, frozen=True):
    """One function of the app, checked and ready to be called."""

    name: str
    call: Callable[..., Any]
    trigger: Any  # the SDK's trigger: route, methods and auth_level, or schedule
    kind: str  # HTTP_TRIGGER or TIMER_TRIGGER
    is_async: bool
    wants_context: bool
    directory: str
    decode: Callable[..., Any]

    @property
    def is_http(self) -> bool:
        return self.kind == HTTP_TRIGGER


class Worker:
    """Runs coroutine functions on the event loop, and the others in a pool of threads."""

    def __init__(self) -> None:
        threads = os.environ.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
        self._threads = ThreadPoolExecutor(int(threads) if threads.isdigit() else DEFAULT_THREADS)
        self.running: set[Invocation] = set()

    async def call(self, function: Function, trigger: Datum) -> Any:
        """What the function returned for this trigger."""
        invocation = Invocation(function.name)
        self.running.add(invocation)
        token = invocations.of_task.set(invocation)
        try:
            arguments = {function.trigger.name: function.decode(trigger, trigger_metadata={})}
            if function.wants_context:
                context = Context(function.name, function.directory, invocation.id)
                arguments["context"] = context
            if function.is_async:
                return await function.call(**arguments)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._threads, _call_in_thread, function, arguments, invocation
            )
        finally:
            invocations.of_task.reset(token)
            invocation.is_running = False
            self.running.discard(invocation)

    async def respond(self, function: Function, request: Datum) -> Datum:
        """The response of an HTTP function. Raises TypeError when it returned something else."""
        response = await self.call(function, request)
        try:
            encoded: Datum = CONVERTERS.get(HTTP_OUTPUT).encode(response, expected_type=None)
        except NotImplementedError:
            raise TypeError(
                f"{function.name} returned {type(response).__name__}, expected HttpResponse"
            ) from None
        return encoded

    async def run_timer(self, function: Function, timer: Datum) -> None:
        """Runs a timer function once. Raises TypeError when it returned something."""
        if (returned := await self.call(function, timer)) is not None:
            raise TypeError(
                f"{function.name} has no output, but returned {type(returned).__name__}"
            )


def _call_in_thread(function: Function, arguments: dict[str, Any], invocation: Invocation) -> Any:
    invocations.of_thread.invocation = invocation
    try:
        return function.call(**arguments)
    finally:
        invocations.of_thread.invocation = None


_storage = threading.local()


class TraceContext(Struct):
    """This host starts no trace."""

    trace_parent: str = ""
    trace_state: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


class RetryContext(Struct):
    """This host retries nothing."""

    retry_count: int = 0
    max_retry_count: int = 0
    exception: Exception | None = None


class Context(Struct):
    """The attributes of an invocation, under the names of azure.functions.Context."""

    function_name: str
    function_directory: str
    invocation_id: str
    thread_local_storage: threading.local = _storage
    trace_context: TraceContext = field(default_factory=TraceContext)
    retry_context: RetryContext = field(default_factory=RetryContext)
