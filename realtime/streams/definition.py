"""What a stream is, and the registry of the streams that producers make."""

import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from realtime.messages import Frame
from realtime.names import room_of_group
from realtime.ncrontab import parse, shortest_interval
from realtime.settings import InvalidSettingsError, settings, split_list
from realtime.streams.clock import EARLY_TIMER_SECONDS

Data = dict[str, Any]

MAX_LATE_SECONDS = 5.0
"""The most that is added to two intervals before a frame is stale."""


class Stale(Struct, frozen=True):
    """The result of a tick whose source failed: the last good values and the reason.

    Everybody can read the reason; `detail` is for the log alone.
    """

    data: Data | None
    reason: str
    detail: str = ""


Tick = Callable[[Frame | None, datetime], Awaitable[Data | Stale | None]]
"""The previous frame (always full; None at first) and the time -> data, or None for no frame."""


class _HistoryOptions(Struct, frozen=True, kw_only=True):
    """The history has every change of the last `history_hours`, and one frame in 5 minutes for
    `history_days`. With `always` it grows without subscribers, too.
    """

    history_hours: int = 24
    history_days: int = 30
    always: bool = False


class StreamInfo(_HistoryOptions, frozen=True):
    """What all streams have in common. Raises ValueError for an invalid name or group."""

    name: str
    title: str
    group: str
    description: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,63}", self.name):
            raise ValueError(f"A stream's name has a-z, 0-9 and -, not {self.name!r}")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.group) or room_of_group(self.group):
            raise ValueError(f"A stream's group has A-Z, a-z, 0-9, _ and -, not {self.group!r}")

    @property
    def interval_seconds(self) -> int:
        raise NotImplementedError

    def is_on_time(self, frame: Frame, now: datetime) -> bool:
        raise NotImplementedError


class Stream(StreamInfo, frozen=True):
    """A stream with a producer.

    `schedule` is NCRONTAB, or `%NAME%` for the setting of that name. If `deltas` names a member of
    the data (`{"symbols": {"AAPL": {...}}}`), a frame has only the entries of that member that have
    changed, and every `full_every` ticks all of them. With `always` the stream runs without
    subscribers.
    """

    schedule: str
    type: str
    tick: Tick
    deltas: str | None = None
    full_every: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.schedule.startswith("%"):
            parse(self.schedule)

    @property
    def interval_seconds(self) -> int:
        """The shortest time between two ticks of the schedule."""
        return shortest_interval(self._expression)

    @property
    def _expression(self) -> str:
        if self.schedule.startswith("%"):
            return _read_setting(self.schedule.strip("%"))
        return self.schedule

    def tick_at(self, now: datetime) -> int:
        """The number of the tick at a time, the same on every instance."""
        return int((now.timestamp() + EARLY_TIMER_SECONDS) // self.interval_seconds)

    def current_due(self, now: datetime) -> datetime:
        """When the tick of this moment was due, or else the time of the next one."""
        start = now + timedelta(seconds=EARLY_TIMER_SECONDS - self.interval_seconds)
        return parse(self._expression).next_after(start)

    def next_due(self, due: datetime, now: datetime) -> datetime:
        """When the tick after `due` is due. Ticks that `now` has passed are left out."""
        passed = now - timedelta(seconds=self.interval_seconds)
        return parse(self._expression).next_after(max(due, passed))

    def is_on_time(self, frame: Frame, now: datetime) -> bool:
        """Whether at most one tick was left out since this frame."""
        interval = self.interval_seconds
        return age_seconds(frame, now) <= 2 * interval + min(interval, MAX_LATE_SECONDS)


def age_seconds(frame: Frame, now: datetime) -> float:
    return max(0.0, (now - datetime.fromisoformat(frame.timestamp)).total_seconds())


def _read_setting(name: str) -> str:
    value = getattr(settings(), name.lower(), None)
    if not isinstance(value, str):
        raise InvalidSettingsError(
            f"A stream's schedule is %{name}%, but there is no setting {name}."
        )
    return value


class StreamRegistry(Mapping[str, Stream]):
    """Every stream with a producer by name. The producers register theirs when imported."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}
        self.failed_imports: dict[str, str] = {}
        """The producer files that could not be imported, and why."""

    def register(self, stream: Stream) -> None:
        """Raises ValueError if the name or the group is in use."""
        for other in self._streams.values():
            if stream.name == other.name or stream.group == other.group:
                raise ValueError(
                    f"There is a stream {other.name!r} with the group {other.group!r} already"
                )
        self._streams[stream.name] = stream

    def unregister(self, name: str) -> None:
        del self._streams[name]

    def __getitem__(self, name: str) -> Stream:
        return self._streams[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._streams)

    def __len__(self) -> int:
        return len(self._streams)


registry = StreamRegistry()
"""The streams of the producers."""


def is_off(name: str) -> bool:
    """Whether STREAMS_OFF names this stream."""
    return name in split_list(settings().streams_off)


def active_streams() -> list[Stream]:
    """The streams of the producers that are not off."""
    return [stream for stream in registry.values() if not is_off(stream.name)]


def describe_unknown_streams_off(names: Collection[str]) -> dict[str, str]:
    """The problem with STREAMS_OFF, by its name, if it names others than these streams."""
    unknown = set(split_list(settings().streams_off)) - set(names)
    listed = ", ".join(sorted(unknown))
    return {"STREAMS_OFF": f"there is no stream {listed}"} if unknown else {}
