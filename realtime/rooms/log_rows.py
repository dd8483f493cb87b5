"""The rows of a log in the table `history`: their keys, and how they are encoded and parsed.

head                          the position of the log
head:q:<time>-<instance>-<random>  drafts that wait for the next commit
m:<seq, 19 digits>            an entry: a message, or a change of one
i:<user>:<client id>          the entry that has this id
n:<user>:<seq, 19 digits>     a message that mentions a user
r:<seq>:<user>:<emoji>        a user's reaction to a message
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from azure.data.tables import EdmType, EntityProperty

from realtime.azure.tables import Row
from realtime.messages import Change, Entry
from realtime.rooms.drafts import Draft, Drafts, digest_of

QUEUE_PREFIX = "head:q:"
"""Queue rows sort directly after the head, so that one query returns both."""

Outcomes = list[int | str]
"""The outcomes of a queue row's drafts: a seq, 0 for a change without effect, or an error code.

A negative seq is that of a draft that was stored before: `published` does not say whether it was
published, since the instance that stored it may have failed to do it."""


class Head(msgspec.Struct, frozen=True):
    """The head row. A log that has no rows has seq 0 and no epoch.

    `spans` are the epochs of the stored entries, each with the seq at which it ended; the present
    epoch follows. `messages` counts the messages, without changes, and `purged` those of
    them that retention has removed. `writer` is the instance that wrote the row, `leading` whether
    it also commits the queue rows of others. `taken` has the outcomes of the queue rows that were
    committed last, `published` the seq up to which the leader has published. `turns` are the
    instances that commit in turn, the next one first. `access` is the version of the room's access
    rules.
    """

    epoch: str = ""
    seq: int = 0
    first: int = 1
    messages: int = 0
    purged: int = 0
    timestamp: str = ""
    spans: tuple[tuple[str, int], ...] = ()
    writer: str = ""
    leading: bool = False
    taken: Mapping[str, Outcomes] = msgspec.field(default_factory=dict)
    published: int = 0
    turns: tuple[str, ...] = ()
    access: str = ""
    etag: str = ""

    def includes(self, epoch: str, seq: int) -> bool:
        """Whether a row with this epoch and seq belongs to the log."""
        if epoch == self.epoch:
            return seq <= self.seq
        return any(epoch == one and seq <= last for one, last in self.spans)


class QueueRow(msgspec.Struct, frozen=True):
    """Drafts that an instance has inserted for the next commit. `age_seconds` is the service's."""

    key: str
    epoch: str
    drafts: Sequence[Draft]
    age_seconds: float = 0.0


class StoredMessage(msgspec.Struct, frozen=True):
    """The row of a message, with what a change needs: `ordinal` is its number among messages.

    `former_mentions` are users whom it mentions no more. Their rows `n:` go with the message.
    """

    entry: Entry
    ordinal: int
    epoch: str
    etag: str
    former_mentions: frozenset[str] = frozenset()


# --- keys -------------------------------------------------------------------------------------


def entry_key(seq: int) -> str:
    return f"m:{seq:019}"


def id_key(sender: str, client_id: str) -> str:
    return f"i:{sender}:{client_id}"


def reaction_key(seq: int, user_id: str, emoji: str) -> str:
    """The emoji as hexadecimal code points: a key must not contain `#`, which keycap emojis do."""
    return f"r:{seq:019}:{user_id}:{'-'.join(f'{ord(one):x}' for one in emoji)}"


def emoji_of_key(key: str) -> str:
    return "".join(chr(int(one, 16)) for one in key.rpartition(":")[2].split("-"))


# --- the head ---------------------------------------------------------------------------------


def int64(value: int) -> EntityProperty:
    return EntityProperty(value, EdmType.INT64)


def encode_head(name: str, head: Head) -> Row:
    return {
        "PartitionKey": name,
        "RowKey": "head",
        "epoch": head.epoch,
        "seq": int64(head.seq),
        "first": int64(head.first),
        "messages": int64(head.messages),
        "purged": int64(head.purged),
        "timestamp": head.timestamp,
        "spans": msgspec.json.encode(head.spans).decode(),
        "writer": head.writer,
        "leading": head.leading,
        "taken": msgspec.json.encode(head.taken).decode(),
        "published": int64(head.published),
        "turns": ",".join(head.turns),
        "access": head.access,
    }


def parse_head(row: Row) -> Head:
    return Head(
        epoch=row["epoch"],
        seq=row["seq"].value,
        first=row["first"].value,
        messages=row["messages"].value,
        purged=row["purged"].value if "purged" in row else 0,
        timestamp=row["timestamp"],
        spans=msgspec.json.decode(row["spans"], type=tuple[tuple[str, int], ...]),
        writer=row["writer"],
        leading=row["leading"],
        taken=msgspec.json.decode(row["taken"], type=dict[str, Outcomes]),
        published=row["published"].value,
        turns=tuple(filter(None, row.get("turns", "").split(","))),
        access=row.get("access", ""),
        etag=str(row.metadata["etag"]),  # type: ignore[attr-defined] # the SDK's dict has it
    )


# --- queue rows -------------------------------------------------------------------------------


def instance_of_row(key: str) -> str:
    """The instance that has inserted a queue row, by its key with or without the prefix."""
    return key.rpartition("-")[0].rpartition("-")[2]


def encode_queue_row(name: str, key: str, epoch: str, drafts: Sequence[Draft]) -> Row:
    """The drafts in parts, since a property holds at most 32,768 UTF-16 units."""
    text = msgspec.json.encode(drafts).decode()
    parts = [text[start : start + 16_000] for start in range(0, len(text), 16_000)]
    row: Row = {"PartitionKey": name, "RowKey": key, "epoch": epoch, "parts": len(parts)}
    return row | {f"drafts{number}": part for number, part in enumerate(parts)}


def parse_queue_row(row: Row, age_seconds: float) -> QueueRow:
    """A row that cannot be parsed (an older version, half written) has no drafts."""
    try:
        text = "".join(row[f"drafts{number}"] for number in range(row["parts"]))
        drafts: Drafts = msgspec.json.decode(text, type=Drafts)
        return QueueRow(row["RowKey"], row["epoch"], drafts, age_seconds)
    except (KeyError, TypeError, msgspec.MsgspecError):
        return QueueRow(row["RowKey"], "", [], age_seconds)


# --- entries ----------------------------------------------------------------------------------


def encode_message(name: str, message: StoredMessage) -> Row:
    entry = message.entry
    row: Row = {
        "PartitionKey": name,
        "RowKey": entry_key(entry.seq),
        "epoch": message.epoch,
        "id": entry.id,
        "sender": entry.sender,
        "name": entry.name,
        "content": entry.content,
        "timestamp": entry.timestamp,
        "ordinal": int64(message.ordinal),
    }
    if entry.reply_to is not None:
        row["reply_to"] = int64(entry.reply_to)
    if entry.mentions:
        row["mentions"] = msgspec.json.encode(entry.mentions).decode()
    if message.former_mentions:
        row["former_mentions"] = msgspec.json.encode(sorted(message.former_mentions)).decode()
    if entry.meta:
        row["meta"] = msgspec.json.encode(entry.meta).decode()
    if entry.revision:
        row |= {"revision": entry.revision, "edited": entry.edited}
    if entry.deleted:
        row["deleted"] = True
    if entry.reactions:
        row["reactions"] = msgspec.json.encode(entry.reactions).decode()
    return row


def encode_change(name: str, epoch: str, change: Change) -> Row:
    """Without the content of an edit: that is stored once, with the message."""
    row: Row = {
        "PartitionKey": name,
        "RowKey": entry_key(change.seq),
        "epoch": epoch,
        "kind": change.kind,
        "id": change.id,
        "sender": change.sender,
        "name": change.name,
        "timestamp": change.timestamp,
        "target": int64(change.target),
    }
    if change.kind == "edit":
        row["revision"] = change.revision
    if change.kind == "reaction":
        row |= {"emoji": change.emoji, "on": change.on, "count": change.count}
    return row


def encode_id_row(name: str, epoch: str, draft: Draft, seq: int) -> Row:
    return {
        "PartitionKey": name,
        "RowKey": id_key(draft.sender, draft.id),
        "epoch": epoch,
        "seq": int64(seq),
        "digest": digest_of(draft),
    }


def encode_reaction(name: str, epoch: str, seq: int, user_id: str, emoji: str) -> Row:
    key = reaction_key(seq, user_id, emoji)
    return {"PartitionKey": name, "RowKey": key, "epoch": epoch, "user": user_id}


def seq_of(row: Row) -> int:
    return int(row["RowKey"].removeprefix("m:"))


def parse_entry(row: Row) -> Entry | Change:
    """The content of an edit is not in its row; the caller adds it."""
    return _parse_change(row) if "kind" in row else parse_message(row)


def parse_message(row: Row) -> Entry:
    reply_to = row.get("reply_to")
    meta = row.get("meta")
    return Entry(
        seq_of(row),
        row["id"],
        row["sender"],
        row["content"],
        row["timestamp"],
        name=row["name"],
        reply_to=reply_to.value if reply_to is not None else None,
        mentions=_parse_json(row.get("mentions"), list[str]) or [],
        meta=_parse_json(meta, dict[str, Any]) or {},
        revision=row.get("revision", 0),
        edited=row.get("edited"),
        deleted=row.get("deleted", False),
        reactions=_parse_json(row.get("reactions"), dict[str, int]) or {},
    )


def parse_stored_message(row: Row) -> StoredMessage:
    etag = str(row.metadata["etag"])  # type: ignore[attr-defined] # the SDK's dict has it
    former = _parse_json(row.get("former_mentions"), frozenset[str]) or frozenset()
    return StoredMessage(parse_message(row), row["ordinal"].value, row["epoch"], etag, former)


def _parse_change(row: Row) -> Change:
    return Change(
        seq_of(row),
        row["kind"],
        row["target"].value,
        row["id"],
        row["sender"],
        row["timestamp"],
        name=row["name"],
        revision=row.get("revision"),
        emoji=row.get("emoji"),
        on=row.get("on"),
        count=row.get("count"),
    )


def _parse_json(text: str | None, kind: Any) -> Any:
    return None if text is None else msgspec.json.decode(text, type=kind)
