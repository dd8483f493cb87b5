"""The state and the history of each stream: the table `streams`, one partition a stream.

The row `latest` has the last frame and the run that made it. The other rows are the history. One
more partition has the definitions of the pushed streams.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import msgspec
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.core.pipeline import PipelineResponse
from msgspec.structs import replace

from realtime.azure.operations import Delete, Insert, Operation, Replace
from realtime.azure.tables import Row, Tables, tables, take_rows
from realtime.azure.transactions import MAX_OPERATIONS
from realtime.concurrency import has_failed
from realtime.streams.clock import StreamClock
from realtime.streams.definition import StreamInfo
from realtime.streams.rows import (
    STATE_KEY,
    HistoryRow,
    StreamState,
    make_state_row,
    parse_state,
    replace_history_row,
)

FRAME_CACHE_SECONDS = 5.0
"""The longest time that a process uses its copy of a last frame."""

DELETE_BATCH_ROWS = 1_000

_DEFINITIONS = "$definitions"  # no name of a stream
_CONFLICTS = {404, 409, 412}  # deleted, created or changed by another run


class StreamStore:
    """Reads and writes the rows of streams."""

    def __init__(
        self,
        tables: Tables,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: StreamClock | None = None,
    ) -> None:
        """`clock` is compared with the storage's at each read of a state."""
        self._tables = tables
        self._monotonic = monotonic
        self._clock = clock
        self._cached: dict[str, tuple[float, asyncio.Future[StreamState]]] = {}

    # --- the state --------------------------------------------------------------------------

    async def read_cached(
        self, stream: StreamInfo, max_age_seconds: float = FRAME_CACHE_SECONDS
    ) -> StreamState:
        """The state, at most an interval or that many seconds old. Callers share one read."""
        read_at, state = self._cached.get(stream.name, (0.0, None))
        max_age = min(stream.interval_seconds, max_age_seconds)
        if state is None or has_failed(state) or self._monotonic() - read_at >= max_age:
            state = asyncio.ensure_future(self.read(stream))
            self._cached[stream.name] = (self._monotonic(), state)
        return await asyncio.shield(state)

    async def read(self, stream: StreamInfo) -> StreamState:
        table = self._tables.open("streams")
        try:
            row = await table.get_entity(
                stream.name, STATE_KEY, raw_response_hook=self._observe_date
            )
        except ResourceNotFoundError:
            return StreamState()
        return parse_state(row)

    def _observe_date(self, response: PipelineResponse[Any, Any]) -> None:
        if self._clock:
            self._clock.observe_date(response.http_response.headers.get("Date"))

    async def write(
        self,
        stream: StreamInfo,
        previous: StreamState,
        state: StreamState,
        history: Sequence[HistoryRow] = (),
    ) -> StreamState | None:
        """Replace the state and add to the history, both or neither.

        Returns the new state, or None if another run has changed it after `previous`. If the
        response to a write is lost, the row shows whether it was done.
        """
        row = make_state_row(stream.name, state)
        first = Replace(row, previous.etag) if previous.etag else Insert(row)
        try:
            etags = await self._submit(
                [first, *(replace_history_row(stream.name, one) for one in history)]
            )
            written = replace(state, etag=etags[0])
        except AzureError as error:
            if not _may_be_written(error):
                raise
            stored = await self.read(stream)
            if replace(stored, etag=None) != replace(state, etag=None):
                return None
            written = stored
        self._put_cached(stream, written)
        return written

    def _put_cached(self, stream: StreamInfo, state: StreamState) -> None:
        done: asyncio.Future[StreamState] = asyncio.get_running_loop().create_future()
        done.set_result(state)
        self._cached[stream.name] = (self._monotonic(), done)

    # --- the history ------------------------------------------------------------------------

    async def read_history(
        self, stream_name: str, low: str, high: str, max_rows: int, max_characters: int
    ) -> list[HistoryRow]:
        """The first rows with `low` <= key < `high`; reading stops at either limit."""
        found: list[HistoryRow] = []
        characters = 0
        rows = self._tables.open("streams").query_entities(
            "PartitionKey eq @stream and RowKey ge @low and RowKey lt @high",
            parameters={"stream": stream_name, "low": low, "high": high},
            results_per_page=min(max_rows, 1_000),
        )
        async for row in rows:
            found.append(HistoryRow(row["RowKey"], row.get("data", "null")))
            characters += len(found[-1].data)
            if len(found) >= max_rows or characters > max_characters:
                break
        return found

    async def delete_history(self, stream_name: str, keys: Sequence[str]) -> None:
        """Delete rows, in transactions of at most 100."""
        for start in range(0, len(keys), MAX_OPERATIONS):
            await self._submit(
                [Delete(stream_name, key) for key in keys[start : start + MAX_OPERATIONS]]
            )

    async def delete_rows(self, stream_name: str) -> None:
        """Delete the state and the history of a stream."""
        while rows := await self._read_first_rows(stream_name):
            await self.delete_history(stream_name, [row["RowKey"] for row in rows])
        self._cached.pop(stream_name, None)

    async def _read_first_rows(self, stream_name: str) -> list[Row]:
        rows = self._tables.open("streams").query_entities(
            "PartitionKey eq @stream",
            parameters={"stream": stream_name},
            select=["RowKey"],
            results_per_page=DELETE_BATCH_ROWS,
        )
        return await take_rows(rows, DELETE_BATCH_ROWS)

    # --- definitions ------------------------------------------------------------------------

    async def read_definitions(self) -> dict[str, dict[str, Any]]:
        """The definitions of the pushed streams by name."""
        rows = self._tables.open("streams").query_entities(
            "PartitionKey eq @definitions and RowKey ge 's:' and RowKey lt 's;'",
            parameters={"definitions": _DEFINITIONS},
        )
        return {
            row["RowKey"].removeprefix("s:"): msgspec.json.decode(row["definition"])
            async for row in rows
        }

    async def write_definition(
        self, name: str, group: str, definition: dict[str, Any], *, is_new: bool
    ) -> bool:
        """Whether it was written: a second row keeps two streams from having the same group."""
        row = {
            "PartitionKey": _DEFINITIONS,
            "RowKey": f"s:{name}",
            "definition": msgspec.json.encode(definition).decode(),
        }
        group_row = {"PartitionKey": _DEFINITIONS, "RowKey": f"g:{group}", "stream": name}
        try:
            await self._submit([Insert(group_row), Insert(row)] if is_new else [Replace(row)])
        except HttpResponseError as error:
            if error.status_code != 409:
                raise
            return False
        return True

    async def delete_definition(self, name: str, group: str) -> None:
        """Delete the definition and its group's row; nothing if another call was faster."""
        with suppress(ResourceNotFoundError):
            await self._submit(
                [Delete(_DEFINITIONS, f"s:{name}"), Delete(_DEFINITIONS, f"g:{group}")]
            )

    async def _submit(self, operations: Sequence[Operation]) -> list[str]:
        return await self._tables.open("streams").submit(operations)


def _may_be_written(error: AzureError) -> bool:
    """Whether the row has to be read to know what is in it: a conflict, or a lost response."""
    status = getattr(error, "status_code", None)
    return status is None or status >= 500 or status in _CONFLICTS


@cache
def stream_clock() -> StreamClock:
    """The stream clock of this process."""
    return StreamClock()


@cache
def stream_store() -> StreamStore:
    """The stream store of this process."""
    return StreamStore(tables(), clock=stream_clock())
