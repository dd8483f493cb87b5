"""What a data stream is, who hears it, and how one tick of it is made, kept and published."""

import asyncio
import copy
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from azure.core import MatchConditions
from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import EdmType, UpdateMode
from msgspec import Struct

from realtime import messages, telemetry
from realtime.channels import room_of
from realtime.hub import Hub, hub
from realtime.messages import Frame
from realtime.ncrontab import shortest_interval
from realtime.settings import InvalidSettings, settings
from realtime.tables import Row, Tables, failed, tables

logger = logging.getLogger(__name__)

Data = dict[str, Any]

EARLY = 0.05
"""Seconds that a timer may fire too early, as .NET's do, and still mean the tick that is due."""

PATIENCE = 3.0
"""The shortest time limit of a tick, in seconds: with less, no provider could be reached."""

LONGEST = 20.0
"""The longest time limit of a tick, in seconds."""

LARGEST = 64 * 1024
"""Bytes of UTF-16 that one property of a row holds, and so a frame."""

ASTRAY = 60.0
"""A kept tick that is further ahead than this many seconds comes from a wrong clock."""

REMEMBERED = 5.0
"""The longest that a process trusts its copy of a last frame, in seconds."""


class FrameTooLarge(Exception):  # noqa: N818 - the log says it by this name
    """A frame that no row of a table can hold."""


@dataclass(frozen=True)
class Stale:
    """What a tick says when its source failed: the last good values, and why."""

    data: Data | None
    reason: str


Tick = Callable[[Frame | None, datetime], Awaitable[Data | Stale | None]]
"""The previous frame (always full; None at first) and the time -> data, or None for nothing new."""


@dataclass(frozen=True)
class Stream:
    """A channel whose only speaker is a producer.

    `schedule` is NCRONTAB, or `%NAME%` for the setting of that name. Where `deltas` names a member
    of the data (`{"symbols": {"AAPL": {...}}}`), a frame carries only the entries of that member
    that have changed, and every `full_every` ticks all of them.
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
            raise ValueError(f"A stream's name has a-z, 0-9 and -; {self.name!r} has more")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.group) or room_of(self.group):
            raise ValueError(f"A stream's group has A-Z, a-z, 0-9, _ and -, not {self.group!r}")
        if not self.schedule.startswith("%"):
            shortest_interval(self.schedule)

    @property
    def interval_seconds(self) -> int:
        """The shortest time between two ticks of the schedule."""
        if self.schedule.startswith("%"):
            return shortest_interval(_setting(self.schedule.strip("%")))
        return shortest_interval(self.schedule)

    def tick_at(self, now: datetime) -> int:
        """The number of the tick at a time, the same on every instance."""
        return int((now.timestamp() + EARLY) // self.interval_seconds)

    def on_time(self, frame: Frame, now: datetime) -> bool:
        """Whether no more than one tick was left out since this frame."""
        interval = self.interval_seconds
        return _age(frame, now) <= 2 * interval + min(interval, REMEMBERED)


class Status(Struct, frozen=True):
    """How a stream is, told from what was kept of it and not from what was intended.

    It is active while its ticks are on time; a value that is no longer of now is stale.
    """

    name: str
    title: str
    group: str
    description: str
    interval_seconds: int
    active: bool
    last_tick: int | None
    age_seconds: float | None
    stale: bool
    latest: Frame | None


catalogue: dict[str, Stream] = {}
"""Every stream by name, filled by the producers when they are imported."""

broken: dict[str, str] = {}
"""The producers that could not be imported, by file, and why."""


def register(stream: Stream) -> None:
    for other in catalogue.values():
        if stream.name == other.name or stream.group == other.group:
            raise ValueError(f"There is a stream {other.name!r} with group {other.group!r} already")
    catalogue[stream.name] = stream


@dataclass(frozen=True)
class _Kept:
    """The last frame as its row has it: `by` is the run that wrote it."""

    frame: Frame | None = None
    etag: str | None = None
    by: str = ""

    def covers(self, tick: int, interval: int) -> bool:
        """Whether this tick, or a later one, has been made.

        A row from a wrong clock, or with the ticks of a shorter interval, is no reason to be
        silent until that number has come.
        """
        if self.frame is None:
            return False
        return tick <= self.frame.tick <= tick + ASTRAY / interval


class Streams:
    """The streams over Table Storage and Web PubSub.

    Table `streams` has one row a stream: its last frame, always full. Table `people` has one row
    for each stream that a person has subscribed to.
    """

    def __init__(
        self,
        tables: Tables,
        hub: Hub,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tables = tables
        self._hub = hub
        self._patience = patience
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._latest: dict[str, tuple[float, asyncio.Future[_Kept]]] = {}
        self._unheard: set[str] = set()
        self._failing: set[str] = set()

    # --- who hears a stream -----------------------------------------------------------------

    async def subscribe(self, user: str, stream: Stream) -> None:
        """All present and later connections of a person hear the stream."""
        people = await self._tables("people")
        await people.upsert_entity(_subscription(user, stream), mode=UpdateMode.REPLACE)
        await self._hub.add_user(user, stream.group)

    async def unsubscribe(self, user: str, stream: Stream) -> None:
        people = await self._tables("people")
        await people.delete_entity(_subscription(user, stream))
        await self._hub.remove_user(user, stream.group)

    async def groups(self, user: str) -> list[str]:
        """The groups of the streams that a person has subscribed to."""
        people = await self._tables("people")
        rows = people.query_entities(
            "PartitionKey eq @user and RowKey ge 'stream:' and RowKey lt 'stream;'",
            parameters={"user": user},
            select=["RowKey"],
        )
        names = [row["RowKey"].removeprefix("stream:") async for row in rows]
        return [catalogue[name].group for name in names if name in catalogue]

    # --- what was said last -----------------------------------------------------------------

    async def latest(self, stream: Stream, now: datetime | None = None) -> Frame | None:
        """The last frame, stale if it is no longer of now. Concurrent callers share one read."""
        read_at, kept = self._latest.get(stream.name, (0.0, None))
        trusted = min(stream.interval_seconds, REMEMBERED)
        if kept is None or failed(kept) or self._clock() - read_at >= trusted:
            kept = asyncio.ensure_future(self._read(stream))
            self._latest[stream.name] = (self._clock(), kept)
        frame = (await asyncio.shield(kept)).frame
        if frame is None or stream.on_time(frame, now or datetime.now(UTC)):
            return frame
        return msgspec.structs.replace(frame, stale=True)

    async def status(self, stream: Stream, now: datetime) -> Status:
        frame = await self.latest(stream, now)
        return Status(
            name=stream.name,
            title=stream.title,
            group=stream.group,
            description=stream.description,
            interval_seconds=stream.interval_seconds,
            active=frame is not None and stream.on_time(frame, now),
            last_tick=None if frame is None else frame.tick,
            age_seconds=None if frame is None else round(_age(frame, now), 3),
            stale=frame is None or frame.stale,
            latest=frame,
        )

    # --- one tick ---------------------------------------------------------------------------

    async def run(self, stream: Stream, now: datetime) -> Frame | None:
        """Make the tick of this moment, and say what was published. It never raises.

        Nothing is made while nobody listens, or when another instance was first.
        """
        try:
            async with asyncio.timeout(1.5 * self._limit(stream)):
                return await self._run(stream, now)
        except Exception as error:  # noqa: BLE001 - whatever fails here must not fail the others
            self._tell(stream, reason(error))
            return None

    def _limit(self, stream: Stream) -> float:
        """How long a tick may take: less than the interval, where the interval allows it."""
        return min(max(self._patience, 0.6 * stream.interval_seconds), LONGEST)

    async def _run(self, stream: Stream, now: datetime) -> Frame | None:
        if not await self._hub.heard(stream.group):
            return None
        tick, by = stream.tick_at(now), uuid.uuid4().hex
        kept = self._kept.get(stream.name) or await self._read(stream)
        for _ in range(2):  # once more from the newer row, where another instance wrote between
            if kept.covers(tick, stream.interval_seconds):
                return None
            said = await self._ask(stream, kept.frame, now)
            frame = _frame(stream, said, tick, now)
            before = kept.frame
            if frame is not None:
                kept = await self._keep(stream, frame, kept, by)
            if frame is None or kept.by == by:
                sent = frame and await self._publish(stream, before, frame)
                self._tell(stream, said.reason if isinstance(said, Stale) else None)
                return sent
        return None

    async def _ask(
        self, stream: Stream, previous: Frame | None, now: datetime
    ) -> Data | Stale | None:
        """The producer's answer; where it fails or is late, the last values stand in for it."""
        try:
            async with asyncio.timeout(self._limit(stream)):
                # A copy: what the producer does to it must not change what we compare with.
                return _plain(await stream.tick(copy.deepcopy(previous), now))
        except Exception as error:  # noqa: BLE001 - a producer may be anybody's file
            return Stale(previous.data if previous else None, reason(error))

    async def _publish(self, stream: Stream, before: Frame | None, frame: Frame) -> Frame | None:
        whole = stream.name in self._unheard or frame.tick % stream.full_every == 0
        sent = frame if whole else changed(stream, before, frame)
        if sent is None:
            return None
        self._unheard.add(stream.name)  # until it has gone out: what was missed comes in full
        await self._hub.publish(stream.group, sent)
        self._unheard.discard(stream.name)
        due = frame.tick * stream.interval_seconds
        telemetry.measure("townsquare.stream.age", time.time() - due, stream=stream.name)
        telemetry.count("townsquare.stream.stale", int(frame.stale), stream=stream.name)
        return sent

    # --- the row ----------------------------------------------------------------------------

    async def _read(self, stream: Stream) -> _Kept:
        table = await self._tables("streams")
        try:
            row = await table.get_entity(stream.name, "latest")
        except ResourceNotFoundError:
            return _Kept()
        return _Kept(_frame_of(row), row.metadata["etag"], row.get("by", ""))

    async def _keep(self, stream: Stream, frame: Frame, before: _Kept, by: str) -> _Kept:
        """The row as it is afterwards: ours, or that of whoever was first.

        A write whose answer was lost is tried again by the SDK and then refused; the row read
        back tells by its `by` that it was ours after all.
        """
        try:
            etag = await self._write(stream, frame, before.etag, by)
            kept = _Kept(frame, etag, by)
        except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
            kept = await self._read(stream)  # not found: somebody has cleared the table
        self._kept[stream.name] = kept
        known: asyncio.Future[_Kept] = asyncio.get_running_loop().create_future()
        known.set_result(kept)
        self._latest[stream.name] = (self._clock(), known)
        return kept

    async def _write(self, stream: Stream, frame: Frame, etag: str | None, by: str) -> str:
        table = await self._tables("streams")
        row: Row = {
            "PartitionKey": stream.name,
            "RowKey": "latest",
            "tick": (frame.tick, EdmType.INT64),
            "by": by,
            "frame": _text(frame),
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

    def _tell(self, stream: Stream, reason: str | None) -> None:
        """One line in the log when a stream begins to fail, and one when it works again."""
        if reason and stream.name not in self._failing:
            self._failing.add(stream.name)
            logger.warning("The stream %s fails: %s.", stream.name, reason)
        if not reason and stream.name in self._failing:
            self._failing.discard(stream.name)
            logger.warning("The stream %s works again.", stream.name)


def _plain(said: Data | Stale | None) -> Data | Stale | None:
    """What was said as JSON has it, so that what is kept and what is sent are the same."""
    if isinstance(said, Stale):
        return Stale(_plain_data(said.data), said.reason)
    return _plain_data(said)


def _plain_data(data: Data | None) -> Data | None:
    return data and msgspec.json.decode(msgspec.json.encode(data), type=Data)


def _frame(stream: Stream, said: Data | Stale | None, tick: int, now: datetime) -> Frame | None:
    stale = isinstance(said, Stale)
    data = said.data if isinstance(said, Stale) else said
    if data is None:
        return None
    moment = messages.timestamp(now)
    return Frame(stream.type, stream.name, tick, moment, stale=stale, full=True, data=data)


def changed(stream: Stream, before: Frame | None, frame: Frame) -> Frame | None:
    """What somebody who has `before` must hear: the whole frame, its changes, or nothing.

    The whole, where there are no deltas, a tick was left out, or the list itself is another.
    """
    if not stream.deltas or before is None or before.tick != frame.tick - 1:
        return frame
    old, new = before.data.get(stream.deltas, {}), frame.data[stream.deltas]
    if old.keys() != new.keys() or before.stale != frame.stale:
        return frame
    entries = {key: new[key] for key in new if _ageless(new[key]) != _ageless(old[key])}
    if not entries:
        return None
    return msgspec.structs.replace(frame, full=False, data={**frame.data, stream.deltas: entries})


def _ageless(entry: Any) -> Any:
    """An entry without its age: growing older is no change."""
    if not isinstance(entry, dict):
        return entry
    return {key: value for key, value in entry.items() if key != "age_seconds"}


def _age(frame: Frame, now: datetime) -> float:
    return max(0.0, (now - datetime.fromisoformat(frame.timestamp)).total_seconds())


def _frame_of(row: Row) -> Frame | None:
    """The frame of a row, or None for one that another version of the app has written."""
    try:
        return msgspec.json.decode(row.get("frame", ""), type=Frame)
    except msgspec.DecodeError:
        return None


def _text(frame: Frame) -> str:
    text = msgspec.json.encode(frame).decode()
    if len(text.encode("utf-16-le")) > LARGEST:
        raise FrameTooLarge
    return text


def _setting(name: str) -> str:
    value = getattr(settings(), name.lower(), None)
    if not isinstance(value, str):
        raise InvalidSettings(f"A stream's schedule is %{name}%, but there is no setting {name}.")
    return value


def _subscription(user: str, stream: Stream) -> Row:
    return {"PartitionKey": user, "RowKey": f"stream:{stream.name}"}


def reason(error: Exception) -> str:
    """What failed and where, without the error's own text: that may hold a URL with a key."""
    if isinstance(error, ModuleNotFoundError):
        return f"there is no module {error.name}"
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    file = Path(trace.tb_frame.f_code.co_filename).name
    return f"{type(error).__name__} in {file}, line {trace.tb_lineno}"


@cache
def streams() -> Streams:
    """This process's streams."""
    return Streams(tables(), hub())
