"""Delta frames: what a subscriber with the previous frame has to receive."""

from typing import Any

import msgspec

from realtime.messages import Frame
from realtime.streams.definition import Stream


def make_delta(stream: Stream, previous: Frame | None, frame: Frame) -> Frame | None:
    """The full frame, a frame with the changes, or None if nothing has changed.

    It is the full frame if the stream has no deltas, a tick was left out, or entries were added or
    removed.
    """
    if not stream.deltas or previous is None or previous.tick != frame.tick - 1:
        return frame
    old, new = previous.data.get(stream.deltas, {}), frame.data[stream.deltas]
    if old.keys() != new.keys() or previous.stale != frame.stale:
        return frame
    changed = {key: new[key] for key in new if without_ages(new[key]) != without_ages(old[key])}
    if not changed:
        return None
    return msgspec.structs.replace(frame, full=False, data={**frame.data, stream.deltas: changed})


def without_ages(value: Any) -> Any:
    """A JSON value without its members `age_seconds`: a greater age is no change."""
    if isinstance(value, dict):
        return {key: without_ages(one) for key, one in value.items() if key != "age_seconds"}
    if isinstance(value, list):
        return [without_ages(one) for one in value]
    return value
