"""How a timer function is declared."""

from collections.abc import Awaitable, Callable

import azure.functions as func

from realtime import process

TimerHandler = Callable[[], Awaitable[None]]


def timer_function(
    bp: func.Blueprint, name: str, schedule: str, handler: TimerHandler, *, monitor: bool = True
) -> None:
    """Declare a timer function that calls `handler`; `schedule` is NCRONTAB or `%SETTING%`.

    With `monitor`, a run that was missed while no host was running is run once, late:
    learn.microsoft.com/azure/azure-functions/functions-bindings-timer
    """

    async def run(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the platform passes it
        process.start()
        await handler()

    run.__name__ = name
    run.__doc__ = handler.__doc__
    timed = bp.timer_trigger(arg_name="timer", schedule=schedule, use_monitor=monitor)
    timed(run)  # the SDK names the function after `__name__`
