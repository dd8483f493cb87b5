"""The rows of a stream: its state and its history, and how they are written and read."""

from typing import Any

import msgspec
from azure.data.tables import EdmType

from realtime.azure.operations import Operation, Replace
from realtime.messages import Frame

MAX_FRAME_BYTES = 64 * 1024
"""Bytes of UTF-16 in one property of a row, and so in a frame."""

MAX_AHEAD_SECONDS = 60.0
"""A stored tick further in the future than this is from a wrong clock or another schedule."""

STATE_KEY = "latest"


class FrameTooLargeError(Exception):
    """A frame that does not fit into a row."""


class StreamState(msgspec.Struct, frozen=True):
    """A stream's row. Without a row it is empty.

    `tick` is the last one that was made, also if it had no frame; `problem` is why its source gave
    no new values. `run_id` is the run that has
    leased the stream until `lease_end`. `recorded_ms` is the time of the newest history row. Times
    are since 1970, in seconds and milliseconds.
    """

    frame: Frame | None = None
    tick: int = 0
    run_id: str = ""
    lease_end: float = 0.0
    recorded_ms: int = 0
    problem: str = ""
    etag: str | None = None

    def covers(self, tick: int, interval_seconds: int) -> bool:
        """Whether this tick, or a later one, is made. A tick far ahead is ignored."""
        return tick <= self.tick <= tick + MAX_AHEAD_SECONDS / interval_seconds


class HistoryRow(msgspec.Struct, frozen=True):
    """A recorded frame: its row key, and its data as JSON."""

    key: str
    data: str


def make_state_row(stream_name: str, state: StreamState) -> dict[str, Any]:
    return {
        "PartitionKey": stream_name,
        "RowKey": STATE_KEY,
        "tick": (state.tick, EdmType.INT64),
        "run_id": state.run_id,
        "lease_end": state.lease_end,
        "recorded_ms": (state.recorded_ms, EdmType.INT64),
        "problem": state.problem,
        "frame": "" if state.frame is None else msgspec.json.encode(state.frame).decode(),
    }


def replace_history_row(stream_name: str, one: HistoryRow) -> Operation:
    return Replace({"PartitionKey": stream_name, "RowKey": one.key, "data": one.data})


def parse_state(row: Any) -> StreamState:
    frame = _parse_frame(row)
    return StreamState(
        frame=frame,
        tick=_parse_int64(row, "tick") or (frame.tick if frame else 0),
        run_id=str(row.get("run_id", "")),
        lease_end=float(row.get("lease_end", 0.0)),
        recorded_ms=_parse_int64(row, "recorded_ms"),
        problem=str(row.get("problem", "")),
        etag=row.metadata["etag"],
    )


def _parse_int64(row: dict[str, Any], name: str) -> int:
    value = row.get(name, 0)
    return int(getattr(value, "value", value) or 0)  # An Edm.Int64 is read as an EntityProperty.


def _parse_frame(row: dict[str, Any]) -> Frame | None:
    """The frame of a row, or None if another version of the app wrote it."""
    try:
        return msgspec.json.decode(row.get("frame", ""), type=Frame)
    except msgspec.DecodeError:
        return None


def check_frame_size(frame: Frame) -> None:
    """Raises FrameTooLargeError if the frame does not fit into a row."""
    if len(msgspec.json.encode(frame).decode().encode("utf-16-le")) > MAX_FRAME_BYTES:
        raise FrameTooLargeError
