"""The checker: what is stored and what the clients have, against what was confirmed to senders."""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec

from realtime.messages import Change, Entry
from realtime.names import room_group
from realtime.rooms.history import History, read_entries
from realtime.rooms.log_rows import Head
from tests.faults.load import ClientState, Confirmed, Record
from tests.instances import Instance

PAGE_ENTRIES = 200


@dataclass
class Findings:
    """Numbers of violations, and examples of them. All are 0 if no guarantee was violated."""

    lost: int = 0
    twice: int = 0
    holes: int = 0
    disorder: int = 0
    changes: int = 0
    pages: int = 0
    ghosts: int = 0
    unsent: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(getattr(self, one.name) for one in fields(self) if one.name != "examples")

    def add(self, name: str, count: int, example: object = "") -> None:
        setattr(self, name, getattr(self, name) + count)
        if count and len(self.examples) < 12:
            self.examples.append(f"{name} {count}: {example}")


@dataclass(frozen=True)
class Log:
    """A log as it is stored."""

    head: Head
    entries: list[Entry | Change]

    @property
    def messages(self) -> list[Entry]:
        return [one for one in self.entries if isinstance(one, Entry)]


async def read_log(reader: Instance, room: str) -> Log:
    head = await reader.logs.read_head(room)
    entries = await read_entries(reader.logs, room, head, head.first, head.seq)
    return Log(head, entries)


async def read_pages(reader: Instance, room: str) -> dict[int, Entry]:
    """All messages by seq, as the pages of the history have them."""
    history, before, found = History(reader.logs), None, {}
    while True:
        page = await history.read_page(room, PAGE_ENTRIES, before=before)
        found |= {one.seq: one for one in page.messages}
        if not page.more or not page.messages:
            return found
        before = page.messages[0].seq


def check_log(
    log: Log, record: Record, excused: Collection[tuple[float, float]], findings: Findings
) -> None:
    """What was acknowledged is stored once and in order; `excused` are the times of messages that
    the storage itself has lost."""
    stored_ids = Counter((one.sender, one.id) for one in log.entries)
    contents = {(one.sender, one.id) for one in log.messages}
    lost = [
        one
        for one in record.confirmed
        if (one.sender, one.id) not in contents and not _is_excused(one, excused)
    ]
    findings.add("lost", len(lost), lost[:3])
    twice = [key for key, count in stored_ids.items() if count > 1]
    seqs = Counter(one.seq for one in log.entries)
    findings.add("twice", len(twice), twice[:3])
    missing = sorted(set(range(log.head.first, log.head.seq + 1)) - set(seqs))
    findings.add("holes", len(missing), missing[:5])
    if log.head.first == 1:
        difference = abs(log.head.messages - len(log.messages))
        findings.add("holes", difference, "the head counts other messages than are stored")
    _check_order(log, record, excused, findings)


def _is_excused(one: Confirmed, excused: Collection[tuple[float, float]]) -> bool:
    return any(one.sent_at <= end and one.at >= start for start, end in excused)


def _check_order(
    log: Log, record: Record, excused: Collection[tuple[float, float]], findings: Findings
) -> None:
    """Each sender writes one message after the other.

    A message that the storage has lost may come back after later ones: an instance that repeats an
    interrupted commit, or a queue row of the copy, still has it.
    """
    written = {
        (one.sender, one.id): one.content
        for one in record.confirmed
        if not _is_excused(one, excused)
    }
    last: dict[str, int] = {}
    for one in log.messages:
        content = written.get((one.sender, one.id))
        if content is None:
            continue
        sender, number = content.split()[:2]
        if int(number) < last.get(sender, 0):
            findings.add("disorder", 1, f"{content} at {one.seq}")
        last[sender] = max(last.get(sender, 0), int(number))
    times = [one.timestamp for one in log.entries]
    backwards = sum(after < before for before, after in itertools.pairwise(times))
    findings.add("disorder", backwards, "timestamps go back")


def check_client(
    client: ClientState, log: Log, pages: dict[int, Entry], findings: Findings
) -> None:
    """A client that has applied all frames has exactly the messages of the pages."""
    if (client.epoch, client.last) != (log.head.epoch, log.head.seq):
        position = f"{client.user} is at {client.epoch}:{client.last}, not {log.head.seq}"
        findings.add("pages", 1, f"{position} of {log.head.epoch}; {client.state}")
        return
    shown = {entry["seq"]: entry for entry in client.entries}
    first = min(shown, default=log.head.seq + 1)
    wanted = {seq: one for seq, one in pages.items() if seq >= first}
    differing = [
        seq
        for seq in sorted(shown.keys() | wanted.keys())
        if seq not in shown or seq not in wanted or _view(shown[seq]) != _view_stored(wanted[seq])
    ]
    example = [(one, shown.get(one), wanted.get(one)) for one in differing[:2]]
    findings.add("pages", len(differing), f"{client.user}: {example}")
    _check_expected(client, log, pages, findings)


def _view(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": entry["id"],
        "content": entry["content"],
        "deleted": bool(entry.get("deleted")),
        "reactions": {} if entry.get("deleted") else entry.get("reactions") or {},
    }


def _view_stored(entry: Entry) -> dict[str, Any]:
    return _view(msgspec.to_builtins(entry))


def _check_expected(
    client: ClientState, log: Log, pages: dict[int, Entry], findings: Findings
) -> None:
    """Acknowledged edits, deletions and reactions are in the pages."""
    reacted = {
        (change.target, change.emoji): change.on
        for change in log.entries
        if isinstance(change, Change) and change.kind == "reaction" and change.sender == client.user
    }
    for key, outcome in client.expected:
        epoch, seq, *_ = key.split(":")
        entry = pages.get(int(seq))
        if epoch != log.head.epoch or (entry is None and int(seq) < log.head.first):
            continue
        if entry is None:
            findings.add("changes", 1, f"{key} is gone")
        elif "emoji" in outcome:
            last = reacted.get((int(seq), outcome["emoji"]), False)
            findings.add("changes", int(not entry.deleted and last != outcome["on"]), key)
        elif outcome.get("deleted"):
            findings.add("changes", int(not entry.deleted), key)
        else:
            is_wrong = not entry.deleted and entry.content != outcome["content"]
            findings.add("changes", int(is_wrong), f"{key}: {entry.content}, {outcome}")


async def find_ghosts(
    reader: Instance, room: str, clients: Iterable[ClientState], others: int = 0
) -> list[str]:
    """How the announced users and those that clients show differ from the connected ones."""
    group = room_group(room)
    connected = {one.user_id async for one in reader.hub.list_connections(group) if one.user_id}
    rows = reader.tables.open("presence").query_entities(
        "PartitionKey eq @room", parameters={"room": room}
    )
    announced = {row["RowKey"] async for row in rows}
    found = [f"announced: {one}" for one in announced ^ connected]
    joined = {one.user for one in clients}
    if len(connected) != len(joined) + others:
        found.append(f"{len(connected)} are connected, not {len(joined) + others}")
    for client in clients:
        found += [f"{client.user} shows: {one}" for one in set(client.users) ^ connected]
    return found


def find_unsettled(clients: Sequence[ClientState], log: Log, pages: dict[int, Entry]) -> list[str]:
    """The clients that have not caught up yet."""
    found = []
    for client in clients:
        trial = Findings()
        check_client(client, log, pages, trial)
        waiting = [one for one in client.pending if one["state"] not in {"sent", "failed"}]
        if waiting or trial.pages or client.state != "live":
            found.append(f"{client.user}: {client.state}, {len(waiting)} waiting, {trial.examples}")
    return found
