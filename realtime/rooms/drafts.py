"""What is to be appended to a log: a message, or a change of one, before it has a seq."""

import hashlib
from typing import Any

import msgspec
from msgspec import Struct


class BaseDraft(Struct, frozen=True, omit_defaults=True, tag_field="kind"):
    """`id` is unique per sender: a repeated draft is stored once. `name` is the display name."""

    sender: str
    id: str
    name: str = ""


class MessageDraft(BaseDraft, frozen=True, omit_defaults=True, tag_field="kind", tag="message"):
    """`meta` is a JSON object as text; `reply_to` is a seq of the same log."""

    content: str = ""
    reply_to: int | None = None
    mentions: tuple[str, ...] = ()
    meta: str = ""


class EditDraft(BaseDraft, frozen=True, omit_defaults=True, tag_field="kind", tag="edit"):
    """Replaces the content of the message `target`; `revision` is the one that the editor saw."""

    target: int = 0
    content: str = ""
    revision: int = 0
    mentions: tuple[str, ...] = ()


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


Draft = MessageDraft | EditDraft | DeleteDraft | ReactionDraft

Drafts = list[Draft]


def target_of(draft: Draft) -> int | None:
    """The seq of the message that a draft refers to."""
    return draft.reply_to if isinstance(draft, MessageDraft) else draft.target


def digest_of(draft: Draft) -> str:
    """Identifies everything but the display name, which may change before a repetition."""
    content = msgspec.json.encode(msgspec.structs.replace(draft, name=""))
    return hashlib.sha256(content).hexdigest()[:16]


def size_of(draft: Draft) -> int:
    """Bytes of the texts as JSON in UTF-8, which bounds a draft's part of a frame."""
    texts: list[Any] = [draft.name]
    if isinstance(draft, MessageDraft):
        texts += [draft.content, draft.meta, draft.mentions]
    elif isinstance(draft, EditDraft):
        texts += [draft.content]
    return len(msgspec.json.encode(texts))
