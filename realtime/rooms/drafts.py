"""What is to be appended to a log: a message, or a change of one, before it has a seq."""

import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from realtime.messages import Entry


class BaseDraft(Struct, frozen=True, omit_defaults=True, tag_field="kind"):
    """`id` is unique per sender: a repeated draft is stored once. `name` is the display name.

    `access` is the version of the room's access rules under which the sender was checked. A commit
    rejects the draft if the log has another version by then. A server's draft has none.
    """

    sender: str
    id: str
    name: str = ""
    access: str | None = None


class MessageDraft(BaseDraft, frozen=True, omit_defaults=True, tag_field="kind", tag="message"):
    """`meta` is a JSON object as text; `reply_to` is a seq of the same log.

    `unmentioned` are those of `mentions` who do not get the mention.
    """

    content: str = ""
    reply_to: int | None = None
    mentions: tuple[str, ...] = ()
    meta: str = ""
    unmentioned: tuple[str, ...] = ()


class EditDraft(BaseDraft, frozen=True, omit_defaults=True, tag_field="kind", tag="edit"):
    """Replaces the content of the message `target`; `revision` is the one that the editor saw."""

    target: int = 0
    content: str = ""
    revision: int = 0
    mentions: tuple[str, ...] = ()
    unmentioned: tuple[str, ...] = ()


class DeleteDraft(BaseDraft, frozen=True, omit_defaults=True, tag_field="kind", tag="delete"):
    """`moderator`: the sender may delete messages of other users. `anonymous`: the tombstone does
    not name the author."""

    target: int = 0
    moderator: bool = False
    anonymous: bool = False


class ReactionDraft(BaseDraft, frozen=True, omit_defaults=True, tag_field="kind", tag="reaction"):
    """Adds (`on`) or removes a reaction of the sender."""

    target: int = 0
    emoji: str = ""
    on: bool = True


class AccessDraft(BaseDraft, frozen=True, omit_defaults=True, tag_field="kind", tag="access"):
    """Gives the log a new access version. It becomes no entry."""


Draft = MessageDraft | EditDraft | DeleteDraft | ReactionDraft | AccessDraft

Drafts = list[Draft]


def target_of(draft: Draft) -> int | None:
    """The seq of the message that a draft refers to."""
    if isinstance(draft, AccessDraft):
        return None
    return draft.reply_to if isinstance(draft, MessageDraft) else draft.target


def delivered_mentions(draft: MessageDraft | EditDraft) -> list[str]:
    """The users who get the mention."""
    return [user for user in draft.mentions if user not in draft.unmentioned]


def digest_of(draft: Draft) -> str:
    """Identifies what the sender has asked for.

    The display name, and what the sender may do, can change before a repetition.
    """
    asked: Draft = msgspec.structs.replace(draft, name="", access=None)
    if isinstance(asked, DeleteDraft):
        asked = msgspec.structs.replace(asked, moderator=False)
    if isinstance(asked, MessageDraft | EditDraft):
        asked = msgspec.structs.replace(asked, unmentioned=())
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()[:16]


def size_of(draft: Draft) -> int:
    """Bytes of the texts as JSON in UTF-8, which bounds a draft's part of a frame."""
    texts: list[Any] = [draft.name]
    if isinstance(draft, MessageDraft):
        texts += [draft.content, draft.meta, draft.mentions]
    elif isinstance(draft, EditDraft):
        texts += [draft.content, draft.mentions]
    return len(msgspec.json.encode(texts))


def make_entry(draft: MessageDraft, seq: int, timestamp: str) -> Entry:
    return Entry(
        seq,
        draft.id,
        draft.sender,
        draft.content,
        timestamp,
        name=draft.name,
        reply_to=draft.reply_to,
        mentions=delivered_mentions(draft),
        meta=msgspec.json.decode(draft.meta, type=dict[str, Any]) if draft.meta else {},
    )
