"""What a stream is, and the registry of all streams."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from realtime.messages import Frame
from realtime.names import room_of_group
from realtime.ncrontab import shortest_interval
from realtime.settings import InvalidSettingsError, settings

Data = dict[str, Any]

EARLY_TIMER_SECONDS = 0.05
"""How much too early a timer may fire, as .NET's do, and still mean the tick that is due."""

MAX_LATE_SECONDS = 5.0
"""The most that is added to two intervals before a frame is stale."""


@dataclass(frozen=True)
class Stale:
    """The result of a tick whose source failed: the last good values and the reason."""

    data: Data | None
    reason: str


Tick = Callable[[Frame | None, datetime], Awaitable[Data | Stale | None]]
"""The previous frame (always full; None at first) and the time -> data, or None for no frame."""


@dataclass(frozen=True)
class Stream:
    """A stream and its producer.

    `schedule` is NCRONTAB, or `%NAME%` for the setting of that name. If `deltas` names a member of
    the data (`{"symbols": {"AAPL": {...}}}`), a frame has only the entries of that member that have
    changed, and every `full_every` ticks all of them.
    """

    name: str
    title: str
    group: str
    description: str
    schedule: str
    type: str
    tick: Tick
    deltas: str | None = None
    full_every: int = 10

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,63}", self.name):
            raise ValueError(f"A stream's name has a-z, 0-9 and -, not {self.name!r}")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.group) or room_of_group(self.group):
            raise ValueError(f"A stream's group has A-Z, a-z, 0-9, _ and -, not {self.group!r}")
        if not self.schedule.startswith("%"):
            shortest_interval(self.schedule)

    @property
    def interval_seconds(self) -> int:
        """The shortest time between two ticks of the schedule."""
        if self.schedule.startswith("%"):
            return shortest_interval(_read_setting(self.schedule.strip("%")))
        return shortest_interval(self.schedule)

    def tick_at(self, now: datetime) -> int:
        """The number of the tick at a time, the same on every instance."""
        return int((now.timestamp() + EARLY_TIMER_SECONDS) // self.interval_seconds)

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


@dataclass
class StreamRegistry(Mapping[str, Stream]):
    """Every stream by name. The producers register theirs when they are imported."""

    _streams: dict[str, Stream] = field(default_factory=dict)
    failed_imports: dict[str, str] = field(default_factory=dict)
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
"""The streams of the app."""
