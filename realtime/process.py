"""What starts once in a process. Every HTTP function and every timer calls `start` first."""

import gc
import logging
from functools import cache

from realtime.azure import telemetry
from realtime.settings import settings

GC_THRESHOLDS = (10_000, 10, 50)
"""Python's are (700, 10, 10). A request makes several hundred objects that reference counting frees
soon; looking through them for cycles after each 700 took an eighth of the app's processor time."""


@cache
def start() -> None:
    """Set log levels and start telemetry. Raises InvalidSettingsError, and then again next time.

    What was imported stays, so no garbage collection looks through it from now on: one of all
    objects would stop a request for some 50 ms.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    # The SDKs log two lines for each of their requests at INFO. The parent logger `azure` stays as
    # it is: the Functions worker logs below it.
    for name in ("azure.core", "azure.data", "azure.identity", "azure.messaging"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if settings().applicationinsights_connection_string:
        telemetry.export(settings())
