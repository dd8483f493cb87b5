"""What starts once in a process. Every HTTP function and every timer calls `start` first."""

import logging
from functools import cache

from realtime.azure import telemetry
from realtime.garbage_collection import reduce_collections
from realtime.settings import settings


@cache
def start() -> None:
    """Set log levels and start telemetry. Raises InvalidSettingsError, and then again next time."""
    reduce_collections()
    # The SDKs log two lines for each of their requests at INFO. The parent logger `azure` stays as
    # it is: the Functions worker logs below it.
    for name in ("azure.core", "azure.data", "azure.identity", "azure.messaging"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if settings().applicationinsights_connection_string:
        telemetry.export(settings())
