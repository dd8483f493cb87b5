"""The history of a stream: what is recorded, how it is thinned, and how long it is stored.

A recorded frame has one row. The row's level is the longest span of SPANS_SECONDS in which it is
the first one recorded, so that a reader who needs one point in 5 minutes reads no other rows.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec

from realtime.messages import Frame, format_timestamp
from realtime.streams.deltas import without_ages
from realtime.streams.rows import HistoryRow
from realtime.streams.store import StreamStore, stream_store

SPANS_SECONDS = (0, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400)
"""The span of each level. Rows of level 0 are those that are first in no span."""

KEPT_LEVEL = SPANS_SECONDS.index(300)
"""Rows from this level on are stored for days, the others for hours."""

MAX_POINTS = 1_000

MAX_RESPONSE_CHARACTERS = 2_000_000
"""The size of a history that is read for one request, in characters of JSON."""

PURGE_BATCH_ROWS = 1_000


class HistoryPoint(msgspec.Struct, frozen=True):
    timestamp: str
    data: dict[str, Any]


class HistorySlice(msgspec.Struct, frozen=True):
    """Points in the order of time, with at most one in each span of `span_seconds`."""

    points: list[HistoryPoint]
    span_seconds: int


def is_recorded(previous: Frame | None, frame: Frame) -> bool:
    """Whether a frame has new values: it is not stale, and not only its ages have changed."""
    if frame.stale:
        return False
    return previous is None or without_ages(previous.data) != without_ages(frame.data)


def make_history_row(frame: Frame, recorded_ms: int) -> HistoryRow:
    """The row of a frame, if the newest recorded one before it is of `recorded_ms`."""
    ms = milliseconds_of(frame)
    key = f"{_level_of(recorded_ms, ms)}:{ms:013d}:{frame.tick:016d}"
    return HistoryRow(key, msgspec.json.encode(frame.data).decode())


def milliseconds_of(frame: Frame) -> int:
    """The frame's time since 1970."""
    return round(datetime.fromisoformat(frame.timestamp).timestamp() * 1000)


def _level_of(before_ms: int, ms: int) -> int:
    levels = range(len(SPANS_SECONDS) - 1, 0, -1)
    spans_ms = {level: SPANS_SECONDS[level] * 1000 for level in levels}
    return next((one for one in levels if before_ms // spans_ms[one] < ms // spans_ms[one]), 0)


class StreamHistory:
    """Reads and purges the histories of streams."""

    def __init__(self, store: StreamStore) -> None:
        self._store = store

    async def read(
        self, stream_name: str, since: datetime, until: datetime, points: int
    ) -> HistorySlice:
        """The history from `since` to before `until`, with at most that many points.

        The span is the shortest of SPANS_SECONDS with which the response is small enough. In each
        span the point is the first frame that was recorded.
        """
        last = len(SPANS_SECONDS) - 1
        rows = await self._read_level(stream_name, last, since, until, MAX_POINTS)
        if not _fits(rows, points):
            return _make_slice(_limit(rows, points), SPANS_SECONDS[last])
        span = SPANS_SECONDS[last]
        for level in reversed(range(last)):
            space = points - len(rows)
            more = rows + await self._read_level(stream_name, level, since, until, space + 1)
            if not _fits(more, points):
                break
            rows, span = more, SPANS_SECONDS[level]
        return _make_slice(sorted(rows, key=_key_of_time), span)

    async def _read_level(
        self, stream_name: str, level: int, since: datetime, until: datetime, max_rows: int
    ) -> list[HistoryRow]:
        """The rows of one level in the order of time; it stops at what fits into a response."""
        low, high = (f"{level}:{_to_ms(one):013d}" for one in (since, until))
        return await self._store.read_history(
            stream_name, low, high, max_rows, MAX_RESPONSE_CHARACTERS
        )

    async def purge(self, stream_name: str, now: datetime, hours: int, days: int) -> int:
        """Delete the rows past their retention; returns how many."""
        removed = 0
        for level in range(len(SPANS_SECONDS)):
            age = timedelta(days=days) if level >= KEPT_LEVEL else timedelta(hours=hours)
            limit = f"{level}:{_to_ms(now - age):013d}"
            while rows := await self._store.read_history(
                stream_name, f"{level}:", limit, PURGE_BATCH_ROWS, MAX_RESPONSE_CHARACTERS
            ):
                await self._store.delete_history(stream_name, [one.key for one in rows])
                removed += len(rows)
        return removed


def _size_of(rows: Sequence[HistoryRow]) -> int:
    return sum(len(one.data) for one in rows)


def _fits(rows: Sequence[HistoryRow], points: int) -> bool:
    return len(rows) <= points and _size_of(rows) <= MAX_RESPONSE_CHARACTERS


def _key_of_time(row: HistoryRow) -> str:
    """The row key without the level."""
    return row.key.partition(":")[2]


def _limit(rows: Sequence[HistoryRow], points: int) -> list[HistoryRow]:
    """Rows at even distances that are few and small enough; the newest one is among them."""
    step = max(1, -(-len(rows) // points))
    chosen = list(rows)[::-1][::step][::-1]
    while len(chosen) > 1 and _size_of(chosen) > MAX_RESPONSE_CHARACTERS:
        chosen = chosen[len(chosen) // 2 :]
    return chosen


def _make_slice(rows: Sequence[HistoryRow], span: int) -> HistorySlice:
    return HistorySlice([_parse_point(one) for one in rows], span)


def _parse_point(row: HistoryRow) -> HistoryPoint:
    ms = int(row.key.split(":")[1])
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return HistoryPoint(format_timestamp(moment), msgspec.json.decode(row.data))


def _to_ms(moment: datetime) -> int:
    return max(0, round(moment.timestamp() * 1000))


@cache
def stream_history() -> StreamHistory:
    """The stream histories as this process reads them."""
    return StreamHistory(stream_store())
