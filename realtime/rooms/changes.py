"""Applies drafts to a log in memory: which entries they become and which rows they write.

Pure functions. The rules of edits, deletes and reactions are here: an author may edit a message
for a limited time and delete it, a moderator may delete any message, and each user has at most
one reaction of a kind to a message.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from realtime.azure.operations import Delete, Insert, Operation, Replace
from realtime.errors import ApiError
from realtime.messages import Change, Entry
from realtime.names import DELETED_USER
from realtime.rooms.drafts import (
    AccessDraft,
    DeleteDraft,
    Draft,
    EditDraft,
    MessageDraft,
    ReactionDraft,
    delivered_mentions,
    make_entry,
)
from realtime.rooms.log_rows import (
    Head,
    StoredMessage,
    encode_change,
    encode_id_row,
    encode_message,
    encode_reaction,
    reaction_key,
)
from realtime.rooms.mention_rows import write_mentions
from realtime.rooms.outcomes import Outcome, access_changed, edit_conflict, unknown_message

MAX_REACTION_KINDS = 20
"""Different emojis that one message may have as reactions."""

Reaction = tuple[int, str, str]
"""The seq of a message, a user id and an emoji."""


class State(msgspec.Struct):
    """What a commit knows: the messages that drafts refer to, and the reactions that exist.

    `unverified` are messages that were cached and may be outdated.
    """

    messages: dict[int, StoredMessage] = msgspec.field(default_factory=dict)
    reactions: set[Reaction] = msgspec.field(default_factory=set)
    unverified: set[int] = msgspec.field(default_factory=set)


class Plan(msgspec.Struct):
    """What a commit writes beside the head: entries in order, row operations, and the outcomes.

    `messages` are the new and the changed messages with the etags that they had, `reactions` those
    that are added (True) or removed.
    """

    head: Head
    messages: dict[int, StoredMessage] = msgspec.field(default_factory=dict)
    reactions: dict[Reaction, bool] = msgspec.field(default_factory=dict)
    entries: list[Entry | Change] = msgspec.field(default_factory=list)
    operations: list[Operation] = msgspec.field(default_factory=list)
    outcomes: dict[Draft, Outcome] = msgspec.field(default_factory=dict)


def plan_commit(
    name: str,
    head: Head,
    drafts: Sequence[Draft],
    state: State,
    timestamp: str,
    edit_seconds: float,
) -> Plan:
    """The plan for drafts that follow `head`, whose epoch must be set. Changes `state`."""
    plan = Plan(head)
    before = State(dict(state.messages), set(state.reactions))
    for draft in drafts:
        step = _Step(name, plan, state, timestamp, edit_seconds)
        try:
            plan.outcomes[draft] = step.apply(draft)
        except ApiError as error:
            plan.outcomes[draft] = error
    changed = {seq: one for seq, one in state.messages.items() if one is not before.messages[seq]}
    plan.messages |= changed
    plan.reactions |= dict.fromkeys(state.reactions - before.reactions, True)
    plan.reactions |= dict.fromkeys(before.reactions - state.reactions, False)
    plan.operations += _state_operations(name, plan.reactions, before.messages, changed)
    return plan


def find_unwritten(plan: Plan) -> dict[Draft, Outcome]:
    """The drafts that become no entry, since they have no effect or are refused."""
    return {
        draft: outcome
        for draft, outcome in plan.outcomes.items()
        if outcome == 0 or isinstance(outcome, ApiError)
    }


def find_unwritten_changes(plan: Plan) -> set[Draft]:
    """Those of them that are changes.

    Among them can be the repetition of a stored change, which is in effect already.
    """
    return {
        draft
        for draft, outcome in find_unwritten(plan).items()
        if isinstance(draft, EditDraft | DeleteDraft | ReactionDraft)
        if not (isinstance(outcome, ApiError) and outcome.code == "access_changed")
    }


def _state_operations(
    name: str,
    reactions: Mapping[Reaction, bool],
    before: Mapping[int, StoredMessage],
    changed: Mapping[int, StoredMessage],
) -> Iterator[Operation]:
    """The writes of changed messages and reactions: one for each row, as a transaction demands.

    The messages come first: their etags guard the rows of the reactions too.
    """
    for seq, message in changed.items():
        yield Replace(encode_message(name, message), message.etag)
        added = set(message.entry.mentions) - set(before[seq].entry.mentions)
        yield from write_mentions(name, message.epoch, message.entry, added)
    for (seq, user_id, emoji), is_added in reactions.items():
        if is_added:
            yield Replace(encode_reaction(name, changed[seq].epoch, seq, user_id, emoji))
        else:
            yield Delete(name, reaction_key(seq, user_id, emoji))


class _Step(msgspec.Struct, frozen=True):
    """Applies one draft to the plan."""

    name: str
    plan: Plan
    state: State
    timestamp: str
    edit_seconds: float

    def apply(self, draft: Draft) -> int:
        """The seq of the new entry, or 0. Raises ApiError."""
        head = self.plan.head
        if isinstance(draft, AccessDraft):
            self.plan.head = replace(head, access=next_access(head.access, draft.id))
            return 0
        if draft.access is not None and draft.access != head.access:
            raise access_changed()
        if isinstance(draft, MessageDraft):
            return self._append_message(draft)
        if isinstance(draft, EditDraft):
            return self._edit(draft)
        if isinstance(draft, DeleteDraft):
            return self._delete(draft)
        return self._react(draft)

    def _append_message(self, draft: MessageDraft) -> int:
        if draft.reply_to is not None and draft.reply_to not in self.state.messages:
            raise unknown_message()
        ordinal = self.plan.head.messages + 1
        entry = make_entry(draft, self._next_seq(), self.timestamp)
        self.plan.head = replace(self.plan.head, messages=ordinal)
        epoch = self.plan.head.epoch
        message = StoredMessage(entry, ordinal, epoch, "")
        self.plan.messages[entry.seq] = message
        self.plan.operations += write_mentions(self.name, epoch, entry, entry.mentions)
        return self._add(draft, entry, encode_message(self.name, message))

    def _edit(self, draft: EditDraft) -> int:
        target = self._target(draft.target)
        entry = target.entry
        if entry.sender != draft.sender:
            raise ApiError("forbidden", "Only the author may edit a message.")
        if entry.revision == draft.revision + 1 and entry.content == draft.content:
            return 0  # The repetition of an edit that has been stored.
        if entry.revision != draft.revision:
            raise edit_conflict(entry.revision)
        if _seconds_between(entry.timestamp, self.timestamp) > self.edit_seconds:
            raise ApiError("edit_expired", "The message is too old to be edited.")
        edited = replace(
            entry,
            content=draft.content,
            mentions=delivered_mentions(draft),
            revision=entry.revision + 1,
            edited=self.timestamp,
        )
        self._update(target, edited)
        return self._add_change(
            draft,
            "edit",
            content=edited.content,
            mentions=edited.mentions,
            revision=edited.revision,
        )

    def _delete(self, draft: DeleteDraft) -> int:
        target = self._target(draft.target)
        entry = target.entry
        if entry.sender != draft.sender and not draft.moderator:
            raise ApiError("forbidden", "Only the author or a moderator may delete a message.")
        tombstone = Entry(
            entry.seq,
            entry.id,
            DELETED_USER if draft.anonymous else entry.sender,
            "",
            entry.timestamp,
            name="" if draft.anonymous else entry.name,
            reply_to=entry.reply_to,
            revision=entry.revision + 1,
            edited=self.timestamp,
            deleted=True,
        )
        self._update(target, tombstone)
        return self._add_change(draft, "delete")

    def _react(self, draft: ReactionDraft) -> int:
        target = self._target(draft.target)
        reaction = (draft.target, draft.sender, draft.emoji)
        counts = dict(target.entry.reactions)
        if (reaction in self.state.reactions) == draft.on:
            return 0
        count = counts.pop(draft.emoji, 0) + (1 if draft.on else -1)
        if draft.on and len(counts) >= MAX_REACTION_KINDS:
            raise ApiError(
                "too_many_reactions", f"A message has at most {MAX_REACTION_KINDS} reactions."
            )
        if count > 0:
            counts[draft.emoji] = count
        self._update(target, replace(target.entry, reactions=counts))
        if draft.on:
            self.state.reactions.add(reaction)
        else:
            self.state.reactions.discard(reaction)
        return self._add_change(draft, "reaction", emoji=draft.emoji, on=draft.on, count=count)

    def _target(self, seq: int) -> StoredMessage:
        target = self.state.messages.get(seq)
        if target is None:
            raise unknown_message()
        if target.entry.deleted:
            raise ApiError("message_deleted", "The message is deleted.")
        return target

    def _update(self, target: StoredMessage, entry: Entry) -> None:
        mentioned = target.former_mentions.union(target.entry.mentions)
        self.state.messages[entry.seq] = replace(
            target, entry=entry, former_mentions=mentioned.difference(entry.mentions)
        )

    def _next_seq(self) -> int:
        return self.plan.head.seq + 1

    def _add_change(
        self, draft: EditDraft | DeleteDraft | ReactionDraft, kind: str, **members: object
    ) -> int:
        change = msgspec.convert(
            {
                "seq": self._next_seq(),
                "kind": kind,
                "target": draft.target,
                "id": draft.id,
                "from": draft.sender,
                "timestamp": self.timestamp,
                "name": draft.name,
                **members,
            },
            Change,
        )
        return self._add(draft, change, encode_change(self.name, self.plan.head.epoch, change))

    def _add(self, draft: Draft, entry: Entry | Change, row: Mapping[str, object]) -> int:
        epoch = self.plan.head.epoch
        # A row with this seq can only be left from a deleted log: the head assigns the seq here.
        self.plan.operations.append(Replace(row))
        self.plan.operations.append(Insert(encode_id_row(self.name, epoch, draft, entry.seq)))
        self.plan.entries.append(entry)
        self.plan.head = replace(self.plan.head, seq=entry.seq, timestamp=self.timestamp)
        return entry.seq


def _seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def next_access(version: str, change_id: str) -> str:
    """A version that the log has never had, also if a change is applied twice."""
    return hashlib.sha256(f"{version}:{change_id}".encode()).hexdigest()[:12]
