"""Begins a new epoch of each log, after the tables were restored from a copy.

Read markers that are past the end of their log are moved back to it.

    python -m local.restore --tables https://<account>.table.core.windows.net
    python -m local.restore

An address is accessed with your own Azure credentials (`az login`), which need the role Storage
Table Data Contributor. A connection string works as well. The default is the storage of
`make start`. docs/operate.md, "Restore", has the other steps.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError

from local.parts import Ports, environment_of
from realtime.azure.tables import connect_tables
from realtime.rooms.log import LogStore
from realtime.rooms.restoration import RestoredLog, begin_epochs
from realtime.settings import Settings
from realtime.users.memberships import Memberships


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m local.restore",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--tables", metavar="ADDRESS", help="https://<account>.table.core.windows.net"
    )
    given = parser.parse_args()
    logging.getLogger("realtime").setLevel(logging.ERROR)  # a warning for each log
    try:
        found, lowered = asyncio.run(restore(make_settings(given.tables or local_address())))
    except (AzureError, ValueError) as error:
        sys.exit(f"The tables cannot be restored: {str(error).splitlines()[0]}")
    for line in describe(found, lowered):
        print(line)


def local_address() -> str:
    """The tables of `make start`."""
    return environment_of("", f"http://127.0.0.1:{Ports().tables}")["TABLES_CONNECTION_STRING"]


def make_settings(address: str) -> Settings:
    """Raises ValueError for what is neither a connection string nor an address."""
    if "AccountName=" in address:
        return Settings(tables_connection_string=address)
    parts = urlsplit(address)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError(
            f"{address!r} is not an address; expected https://<account>.table.core.windows.net"
        )
    return Settings(tables_endpoint=address)


async def restore(settings: Settings) -> tuple[Sequence[RestoredLog], int]:
    """The restored logs, and the number of read markers that were moved."""
    tables = connect_tables(settings)
    try:
        found = await begin_epochs(LogStore(tables))
        ends = {log.name: (log.seq, log.messages) for log in found}
        return found, await Memberships(tables).lower_read_markers(ends)
    finally:
        await tables.close()


def describe(found: Sequence[RestoredLog], lowered_markers: int) -> list[str]:
    """Names of rooms are printed only for logs that an operator has to check."""
    lines = [
        f"{len(found)} logs have begun new epochs.",
        f"{lowered_markers} read markers were past the end of their log.",
    ]
    lines += [
        f"{log.name}: {log.missing} of the entries up to {log.seq} are not in the copy."
        for log in found
        if log.missing
    ]
    return lines


if __name__ == "__main__":
    main()
