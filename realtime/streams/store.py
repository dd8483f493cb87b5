"""The last frame of each stream: the table `streams`, one row a stream."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import msgspec
from azure.core import MatchConditions
from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import EdmType, UpdateMode

from realtime.azure.tables import Row, Tables, tables
from realtime.concurrency import has_failed
from realtime.messages import Frame
from realtime.streams.definition import Stream

MAX_FRAME_BYTES = 64 * 1024
"""Bytes of UTF-16 in one property of a row, and so in a frame."""

MAX_AHEAD_SECONDS = 60.0
"""A stored tick further in the future than this is from an instance with a wrong clock."""

FRAME_CACHE_SECONDS = 5.0
"""The longest time that a process uses its copy of a last frame."""


class FrameTooLargeError(Exception):
    """A frame that does not fit into a row."""


@dataclass(frozen=True)
class StoredFrame:
    """A stream's row; `run_id` identifies the run that wrote it. Empty if there is no row."""

    frame: Frame | None = None
    etag: str | None = None
    run_id: str = ""

    def covers(self, tick: int, interval_seconds: int) -> bool:
        """Whether this tick, or a later one, is done.

        A tick far ahead is ignored: it is from a wrong clock or from a shorter interval.
        """
        if self.frame is None:
            return False
        return tick <= self.frame.tick <= tick + MAX_AHEAD_SECONDS / interval_seconds


class StreamStore:
    """Reads and writes the last frames."""

    def __init__(self, tables: Tables, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._tables = tables
        self._clock = clock
        self._cached: dict[str, tuple[float, asyncio.Future[StoredFrame]]] = {}

    async def read_cached(self, stream: Stream) -> StoredFrame:
        """The row, at most an interval or FRAME_CACHE_SECONDS old. Callers share one read."""
        read_at, stored = self._cached.get(stream.name, (0.0, None))
        max_age = min(stream.interval_seconds, FRAME_CACHE_SECONDS)
        if stored is None or has_failed(stored) or self._clock() - read_at >= max_age:
            stored = asyncio.ensure_future(self.read(stream))
            self._cached[stream.name] = (self._clock(), stored)
        return await asyncio.shield(stored)

    async def read(self, stream: Stream) -> StoredFrame:
        table = self._tables.open("streams")
        try:
            row = await table.get_entity(stream.name, "latest")
        except ResourceNotFoundError:
            return StoredFrame()
        return StoredFrame(_parse_frame(row), row.metadata["etag"], row.get("run_id", ""))

    async def write(
        self, stream: Stream, frame: Frame, previous: StoredFrame, run_id: str
    ) -> StoredFrame:
        """The row after the write: this frame, or the one of another run that was faster.

        If the answer to a write is lost, the SDK repeats it and gets a conflict. The row then has
        this run's id.
        """
        try:
            etag = await self._write_row(stream, frame, previous.etag, run_id)
            stored = StoredFrame(frame, etag, run_id)
        except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
            stored = await self.read(stream)  # Not found: the row was deleted.
        self._put_cached(stream, stored)
        return stored

    def _put_cached(self, stream: Stream, stored: StoredFrame) -> None:
        done: asyncio.Future[StoredFrame] = asyncio.get_running_loop().create_future()
        done.set_result(stored)
        self._cached[stream.name] = (self._clock(), done)

    async def _write_row(self, stream: Stream, frame: Frame, etag: str | None, run_id: str) -> str:
        table = self._tables.open("streams")
        row: Row = {
            "PartitionKey": stream.name,
            "RowKey": "latest",
            "tick": (frame.tick, EdmType.INT64),
            "run_id": run_id,
            "frame": _encode_frame(frame),
        }
        if etag is None:
            return str((await table.create_entity(row))["etag"])
        written = await table.update_entity(
            row,
            mode=UpdateMode.REPLACE,
            etag=etag,
            match_condition=MatchConditions.IfNotModified,
        )
        return str(written["etag"])


def _encode_frame(frame: Frame) -> str:
    text = msgspec.json.encode(frame).decode()
    if len(text.encode("utf-16-le")) > MAX_FRAME_BYTES:
        raise FrameTooLargeError
    return text


def _parse_frame(row: Row) -> Frame | None:
    """The frame of a row, or None if another version of the app wrote it."""
    try:
        return msgspec.json.decode(row.get("frame", ""), type=Frame)
    except msgspec.DecodeError:
        return None


@cache
def stream_store() -> StreamStore:
    """The stream store of this process."""
    return StreamStore(tables())
