"""The rows `n:<user>:<seq>` of a log: a message mentions a user. A commit writes them with it."""

from collections.abc import Iterable, Iterator

import msgspec

from realtime.azure.operations import Operation, Replace
from realtime.azure.tables import Row
from realtime.messages import Entry
from realtime.rooms.log_rows import Head


def mention_key(user_id: str, seq: int) -> str:
    return f"n:{user_id}:{seq:019}"


def write_mentions(name: str, epoch: str, entry: Entry, users: Iterable[str]) -> list[Operation]:
    """Senders are not told that they mention themselves."""
    return [
        Replace({"PartitionKey": name, "RowKey": mention_key(user, entry.seq), "epoch": epoch})
        for user in users
        if user != entry.sender
    ]


def mentioned_users(row: Row) -> Iterator[str]:
    """The users that have a row `n:` for the message of a row."""
    for name in ("mentions", "former_mentions"):
        yield from msgspec.json.decode(row.get(name, "[]"), type=list[str])


def includes_mention(head: Head, row: Row) -> bool:
    """Whether a row belongs to the log."""
    return head.includes(row["epoch"], int(row["RowKey"].rpartition(":")[2]))
