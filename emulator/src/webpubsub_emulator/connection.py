"""One client connection as the service sees it."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from webpubsub_emulator.permissions import Permissions
from webpubsub_emulator.protocol import JSON_PROTOCOL, RELIABLE_PROTOCOL
from webpubsub_emulator.replay_buffer import ReplayBuffer
from webpubsub_emulator.server_messages import OutgoingMessage
from webpubsub_emulator.streams import Stream

_MAX_REMEMBERED_ACK_IDS = 1000


class FrameWriter(Protocol):
    """The sending side of a client's socket. No method waits for the client."""

    def send(self, frame: bytes) -> None: ...
    def close(self, code: int, reason: str = "") -> None: ...
    def abort(self) -> None: ...


Deliveries = Mapping[bytes, Sequence[FrameWriter]]
"""Frames, each with the sockets to which it goes."""


def send_in_turn(deliveries: Deliveries) -> None:
    for frame, writers in deliveries.items():
        for writer in writers:
            writer.send(frame)


class Connection:
    """A logical connection. A reliable one survives its socket until the recovery timeout."""

    __slots__ = (
        *("__weakref__", "_ack_ids", "cookies", "detached_until", "event_count", "groups", "hub"),
        *("id", "is_raw", "is_reliable", "permissions", "protocol", "replay_buffer", "state"),
        *("streams", "user_id", "writer"),
    )

    def __init__(
        self,
        hub: str,
        *,
        user_id: str | None = None,
        protocol: str | None = None,
        roles: Iterable[str] = (),
        connection_id: str | None = None,
    ) -> None:
        self.id = connection_id or secrets.token_hex(16)
        self.hub = hub
        self.user_id = user_id
        self.permissions = Permissions(roles)
        self.groups: set[str] = set()
        self.writer: FrameWriter | None = None
        self.detached_until: float | None = None
        self.state: str | None = None
        self.cookies: dict[str, str] = {}
        self.streams: dict[str, Stream] = {}
        # ce-id 0 is reserved for the connect event, even where no handler receives it.
        self.event_count = 0
        self._ack_ids: dict[int, None] = {}
        self.set_protocol(protocol)

    def apply_connect_response(
        self, user_id: str | None, roles: Iterable[str] | None, protocol: str | None
    ) -> None:
        """Take over what the connect response sets; None keeps what the token says."""
        if user_id is not None:
            self.user_id = user_id
        if roles is not None:
            self.permissions = Permissions(roles)
        if protocol:
            self.set_protocol(protocol)

    def set_protocol(self, protocol: str | None) -> None:
        """Set the subprotocol; None or one unknown to the service makes a raw client."""
        self.protocol = protocol
        name = (protocol or "").lower()
        self.is_raw = name not in (JSON_PROTOCOL, RELIABLE_PROTOCOL)
        self.is_reliable = name == RELIABLE_PROTOCOL
        self.replay_buffer = ReplayBuffer() if self.is_reliable else None

    def next_event_id(self) -> int:
        self.event_count += 1
        return self.event_count

    def is_duplicate(self, ack_id: int) -> bool:
        return ack_id in self._ack_ids

    def remember_ack_id(self, ack_id: int) -> None:
        """Only requests that succeeded are remembered, so that failed ones can be retried."""
        self._ack_ids[ack_id] = None
        if len(self._ack_ids) > _MAX_REMEMBERED_ACK_IDS:
            del self._ack_ids[next(iter(self._ack_ids))]

    def send_frame(self, frame: bytes) -> None:
        """Send a frame of the protocol itself, which has no sequence id and is not replayed."""
        if self.writer is not None:
            self.writer.send(frame)

    def next_frame(self, message: OutgoingMessage, now: float) -> bytes | None:
        """Return the frame of a message for this client, or None when its replay buffer is full."""
        buffer = self.replay_buffer
        if buffer is None:
            return message.raw_frame() if self.is_raw else message.json_frame()
        ttl = message.ttl_seconds
        frame = buffer.add(message.reliable_frame, now + ttl if ttl else None)
        return None if buffer.is_full else frame
