"""Streams: definitions, frames and their history, and what is published without a stream."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from townsquare_client.models import NewFrame, Point, PushAccepted, Stream
from townsquare_client.operations import (
    Request,
    member,
    nothing,
    operation,
    path,
    struct,
    without_none,
)


class Streams:
    """What both clients can do with streams. Reading needs neither key nor session."""

    @operation
    def streams(self) -> Request[list[Stream]]:
        """List all streams with their status and last frame."""
        return Request("GET", path("streams"), member("streams", list[Stream]))

    @operation
    def stream(self, name: str) -> Request[Stream]:
        """Get one stream with its status and last frame."""
        return Request("GET", path("streams", name), struct(Stream))

    @operation
    def put_stream(
        self,
        name: str,
        title: str,
        *,
        description: str = "",
        group: str = "",
        type: str = "stream_update",  # noqa: A002 - the name of the field
        fresh_seconds: float = 60.0,
        history_hours: int = 24,
        history_days: int = 30,
        always: bool = False,
    ) -> Request[Stream]:
        """Define a pushed stream, or change its definition."""
        body = {
            "title": title,
            "description": description,
            "group": group,
            "type": type,
            "fresh_seconds": fresh_seconds,
            "history_hours": history_hours,
            "history_days": history_days,
            "always": always,
        }
        return Request("PUT", path("streams", name), struct(Stream), body=body)

    @operation
    def push(
        self, name: str, data: dict[str, Any], *, timestamp: datetime | None = None
    ) -> Request[PushAccepted]:
        """Push a frame. It is not repeatable: a lost response raises ConnectionFailedError."""
        return _push(name, NewFrame(data, timestamp))

    @operation
    def push_batch(self, name: str, frames: Sequence[NewFrame]) -> Request[PushAccepted]:
        """Push up to 100 frames in the order of their time. It is not repeatable either."""
        return _push(name, {"frames": list(frames)})

    @operation
    def stream_history(
        self,
        name: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        points: int = 300,
    ) -> Request[list[Point]]:
        """Get the recorded frames of a stream, thinned to at most `points`; default: an hour."""
        query = without_none(
            since=since.isoformat() if since else None,
            until=until.isoformat() if until else None,
            points=points,
        )
        return Request(
            "GET", path("streams", name, "history"), member("points", list[Point]), query
        )

    @operation
    def publish(
        self, data: dict[str, Any], *, group: str | None = None, user_id: str | None = None
    ) -> Request[None]:
        """Publish an object to a group, to a user, or to all, without storing it."""
        query = without_none(group=group, user=user_id)
        return Request("POST", path("publish"), nothing, query, data, repeatable=False)


def _push(name: str, body: Any) -> Request[PushAccepted]:
    return Request("POST", path("streams", name), struct(PushAccepted), body=body, repeatable=False)
