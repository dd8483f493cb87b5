"""Scenarios in which tables are deleted or restored from an older copy."""

import asyncio
import time
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables.aio import TableServiceClient

from realtime.azure.operations import Replace
from realtime.azure.tables import TABLE_NAMES
from realtime.rooms.restoration import begin_epochs
from tests.faults.network import NONE, Disturbance
from tests.faults.scenarios import Run, scenario
from tests.instances import Instance

STOPPED_SECONDS = 1.0
"""How long requests that were passed on to the storage may still take."""


@scenario("delete-tables", "all tables are deleted", 25)
async def delete_tables(run: Run) -> None:
    connection_string = run.world.direct_settings.tables_connection_string
    async with TableServiceClient.from_connection_string(connection_string) as service:
        while await run.pause(4.0, 8.0):
            for name in TABLE_NAMES:
                await service.delete_table(name)
            run.excused.append((0.0, time.time()))
            run.faults += 1


@scenario("restore-tables", "the history is restored from an older copy", 40)
async def restore_tables(run: Run) -> None:
    """In turn while the app runs, which then notices it, and as docs/operate.md says."""
    async with run.world.reader() as reader:
        while await run.pause(1.0, 3.0):
            copy, copied_at = await _copy_rows(reader, run.room), time.time()
            await run.pause(3.0, 6.0)
            if run.faults % 2 == 0:
                await _restore_below_the_app(run, reader, copy)
            else:
                await _restore_as_documented(run, reader, copy)
            run.excused.append((copied_at - STOPPED_SECONDS, time.time()))
            run.faults += 1


async def _restore_below_the_app(run: Run, reader: Instance, copy: list[dict[str, Any]]) -> None:
    run.world.storage_proxy.disturbance = Disturbance(refuse=1.0)
    await asyncio.sleep(STOPPED_SECONDS)
    await _write_rows(reader, run.room, copy)
    run.world.storage_proxy.disturbance = NONE


async def _restore_as_documented(run: Run, reader: Instance, copy: list[dict[str, Any]]) -> None:
    for host in run.world.hosts:
        await asyncio.to_thread(host.stop)
    await _write_rows(reader, run.room, copy)
    async with run.world.reader() as operator:
        await begin_epochs(operator.logs)
    for host in run.world.hosts:
        await run.world.start_again(host)


async def _copy_rows(reader: Instance, room: str) -> list[dict[str, Any]]:
    rows = reader.tables.open("history").query_entities(
        "PartitionKey eq @room", parameters={"room": room}
    )
    return [dict(row) async for row in rows]


async def _write_rows(reader: Instance, room: str, copy: list[dict[str, Any]]) -> None:
    table = reader.tables.open("history")
    keys = {row["RowKey"] for row in await _copy_rows(reader, room)}
    for key in keys - {row["RowKey"] for row in copy}:
        try:
            await table.delete_entity(room, key)
        except ResourceNotFoundError:
            continue
    for start in range(0, len(copy), 100):
        await table.submit([Replace(row) for row in copy[start : start + 100]])
