"""What a negotiate request asks for, and the groups and roles that it grants."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from realtime.errors import ApiError
from realtime.identity.sessions import Session
from realtime.names import encode_display_name, room_group, session_group, validate_room
from realtime.streams.definition import StreamInfo


class NegotiateRequest(Struct, frozen=True):
    """The body of negotiate, or its query with `groups` separated by commas.

    `name` is the display name of a new guest; an authenticated caller keeps the present one.
    `user_id` is another word for it.
    """

    name: str = ""
    user_id: str = ""
    room: str | None = None
    groups: list[str] | str = ""


def requested_room(request: NegotiateRequest) -> str | None:
    return None if request.room is None else validate_room(request.room)


def requested_streams(request: NegotiateRequest, streams: Iterable[StreamInfo]) -> list[StreamInfo]:
    """Those of `streams` whose groups are requested. Raises ApiError for another group."""
    groups = request.groups
    names = groups.split(",") if isinstance(groups, str) else groups
    by_group = {stream.group: stream for stream in streams}
    unique = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    for name in unique:
        if name not in by_group:
            raise ApiError("unknown_group", f"Expected some of {', '.join(by_group)}.")
    return [by_group[name] for name in unique]


def granted_groups(
    room: str | None, streams: Sequence[StreamInfo], name: str, session: Session | None
) -> list[str]:
    """The groups that the connection is in from the start, and the one that carries its name."""
    groups = [stream.group for stream in streams] + ([room_group(room)] if room else [])
    return [*groups, encode_display_name(name), *([session_group(session.id)] if session else [])]


def granted_roles(streams: Iterable[StreamInfo]) -> list[str]:
    """A client may join and leave the groups of streams, and may not send to any group."""
    return [f"webpubsub.joinLeaveGroup.{stream.group}" for stream in streams]
