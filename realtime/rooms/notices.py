"""Publishes the notices of rooms: "joined", "left" and "renamed".

While a frame of a room is being published, further notices of the room wait and are published
together in the next frame. So a single notice is published at once, and many joins of a room of
200 cause few frames, each of which is sent to 200 clients.
"""

import asyncio
from collections import defaultdict

from realtime.azure.web_pubsub import Hub
from realtime.messages import PresenceChange, PresenceEvent, SystemEvent
from realtime.names import room_group

MAX_FRAME_NOTICES = 200
"""The most notices of one frame, which so has at most about 100 KB."""

_SENTENCES = {"joined": "{} joined", "left": "{} left", "renamed": "{} has a new name"}


class NoticePublisher:
    """Publishes each room's notices in the order in which they are passed."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting: defaultdict[str, list[_Waiting]] = defaultdict(list)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def publish(self, room: str, change: PresenceChange) -> None:
        """Return when the notice is published. Raises the errors of the service."""
        published: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[room].append((change, published))
        if room not in self._tasks:
            self._tasks[room] = asyncio.create_task(self._publish_all(room))
        await published

    async def _publish_all(self, room: str) -> None:
        while self._waiting[room]:
            batch = self._waiting[room][:MAX_FRAME_NOTICES]
            del self._waiting[room][:MAX_FRAME_NOTICES]
            try:
                event = _make_event(room, [change for change, _ in batch])
                await self._hub.send_to_group(room_group(room), event)
            except Exception as error:  # noqa: BLE001 - each caller gets it
                _complete(batch, error)
            else:
                _complete(batch, None)
        del self._waiting[room], self._tasks[room]


_Waiting = tuple[PresenceChange, "asyncio.Future[None]"]


def _complete(batch: list[_Waiting], error: Exception | None) -> None:
    for _, published in batch:
        if published.done():  # The caller was cancelled.
            continue
        if error is None:
            published.set_result(None)
        else:
            published.set_exception(error)


def _make_event(room: str, changes: list[PresenceChange]) -> SystemEvent | PresenceEvent:
    if len(changes) > 1:
        return PresenceEvent(room, changes)
    [one] = changes
    sentence = _SENTENCES[one.event].format(one.name)
    return SystemEvent(
        room, one.event, one.user_id, one.name, sentence, status=one.status, colour=one.colour
    )
