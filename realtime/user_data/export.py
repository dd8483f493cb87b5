"""Exports what is stored about one user, in pages that are bounded in bytes.

A position names the section and the last item: a conversation, or a row in a log.
Texts of other users are not part of it.
"""

import base64
import binascii

import msgspec

from realtime.errors import ApiError
from realtime.identity.profiles import Profile, profiles
from realtime.messages import Change, Entry
from realtime.rooms.author_entries import AuthorEntry, read_author_page
from realtime.rooms.log import logs
from realtime.streams.subscriptions import subscriptions
from realtime.users.blocks import blocks
from realtime.users.memberships import Membership, memberships

MAX_PAGE_BYTES = 256 * 1024
"""A page ends after the item that exceeds it: an item has at most some 20 KB."""

MAX_PAGE_MEMBERSHIPS = 100

MAX_PAGE_READS = 20
"""Reads of up to 100 rows for one page: a log whose entries are purged may have only such rows."""


class ExportPosition(msgspec.Struct, frozen=True, array_like=True):
    """`log` is "" in the section of conversations; `after` is the key of the last item."""

    section: str = "conversations"
    log: str = ""
    after: str = ""


class ExportPart(msgspec.Struct):
    """One page. `profile`, `streams` and `blocked` are in the first one only."""

    profile: Profile | None = None
    streams: list[str] = msgspec.field(default_factory=list)
    blocked: list[str] = msgspec.field(default_factory=list)
    memberships: list[Membership] = msgspec.field(default_factory=list)
    entries: list[tuple[str, Entry | Change]] = msgspec.field(default_factory=list)
    next: str | None = None


async def export_part(user_id: str, after: str = "") -> ExportPart:
    """The first page, or the one at a position. Raises ApiError `invalid_cursor`."""
    position = _decode(after) if after else ExportPosition()
    part = ExportPart()
    if not after:
        part.profile = await profiles().find(user_id)
        part.streams = await subscriptions().list_names(user_id)
        part.blocked = await blocks().list_blocked(user_id)
    if position.section == "conversations":
        part.memberships, following = await memberships().list_page(
            user_id, MAX_PAGE_MEMBERSHIPS, position.after
        )
        if following is not None:
            part.next = _encode(ExportPosition(after=following))
            return part
        position = ExportPosition("entries")
    part.next = await _add_entries(part, user_id, position)
    return part


async def _add_entries(part: ExportPart, user_id: str, position: ExportPosition) -> str | None:
    """Add entries from a position on; returns the position of the next page, if there is one."""
    size = reads = 0
    async for name in logs().index.authors.list_logs(user_id, position.log):
        after = position.after if name == position.log else ""
        while rows := await read_author_page(logs(), name, user_id, after):
            for one in rows:
                after = one.id_key
                size += _add_entry(part, name, one)
                if size >= MAX_PAGE_BYTES:
                    return _encode(ExportPosition("entries", name, after))
            reads += 1
            if reads >= MAX_PAGE_READS:
                return _encode(ExportPosition("entries", name, after))
    return None


def _add_entry(part: ExportPart, name: str, one: AuthorEntry) -> int:
    """The bytes that it adds."""
    if one.entry is None:
        return 0
    part.entries.append((name, one.entry))
    return len(msgspec.json.encode(one.entry)) + len(name)


def _encode(position: ExportPosition) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def _decode(text: str) -> ExportPosition:
    try:
        padded = text + "=" * (-len(text) % 4)
        return msgspec.json.decode(
            base64.b64decode(padded, altchars=b"-_", validate=True), type=ExportPosition
        )
    except (binascii.Error, msgspec.MsgspecError, ValueError):
        raise ApiError("invalid_cursor", "The position is not one of an export.") from None
