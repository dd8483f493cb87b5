"""The status of a stream, derived from its last frame."""

from datetime import datetime

import msgspec
from msgspec import Struct

from realtime.messages import Frame
from realtime.streams.definition import StreamInfo, age_seconds
from realtime.streams.store import StreamStore


class StreamStatus(Struct, frozen=True):
    """A stream is `active` while its ticks are on time; `stale` means that its values are old.

    `off` means that the setting STREAMS_OFF names it: it has no ticks. `problem` is why the last
    tick had no new values.
    """

    name: str
    title: str
    group: str
    description: str
    interval_seconds: int
    off: bool
    active: bool
    last_tick: int | None
    age_seconds: float | None
    stale: bool
    problem: str | None
    latest: Frame | None


async def read_latest(store: StreamStore, stream: StreamInfo, now: datetime) -> Frame | None:
    """The last frame, marked stale if it is no longer on time."""
    return _mark_late((await store.read_cached(stream)).frame, stream, now)


def _mark_late(frame: Frame | None, stream: StreamInfo, now: datetime) -> Frame | None:
    if frame is None or stream.is_on_time(frame, now):
        return frame
    return msgspec.structs.replace(frame, stale=True)


async def read_status(
    store: StreamStore, stream: StreamInfo, now: datetime, *, is_off: bool = False
) -> StreamStatus:
    state = await store.read_cached(stream)
    frame = _mark_late(state.frame, stream, now)
    return StreamStatus(
        name=stream.name,
        title=stream.title,
        group=stream.group,
        description=stream.description,
        interval_seconds=stream.interval_seconds,
        off=is_off,
        active=frame is not None and stream.is_on_time(frame, now),
        last_tick=None if frame is None else frame.tick,
        age_seconds=None if frame is None else round(age_seconds(frame, now), 3),
        stale=frame is None or frame.stale,
        problem=state.problem or None,
        latest=frame,
    )
