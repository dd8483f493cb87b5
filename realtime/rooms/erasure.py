"""Removes the texts of one author from a log; for readers the log stays complete.

A message becomes a tombstone by a delete entry of the log, so that connected clients and those
that recover receive it. Reactions are removed. The author's name is removed from entries that
stay because their seq is part of the log. Each step can be repeated: the rows `i:<user>:` of
processed entries are deleted, so an interrupted removal continues with the others.
"""

import asyncio
import secrets
from functools import cache

from azure.data.tables import TableTransactionError

from realtime.concurrency import gather_limited
from realtime.errors import ApiError
from realtime.messages import Change, Entry
from realtime.names import DELETED_USER
from realtime.rooms.appender import Appender, appender
from realtime.rooms.author_entries import AuthorEntry, read_author_page
from realtime.rooms.contention import MAX_ROW_AGE_SECONDS
from realtime.rooms.drafts import DeleteDraft, ReactionDraft
from realtime.rooms.log import LogStore, logs
from realtime.rooms.log_rows import reaction_key

ERASURE_SENDER = "system"
"""The sender of the delete entries."""

_GONE = {"message_deleted", "unknown_message"}


class Erasure:
    """Removes authors from logs."""

    def __init__(self, logs: LogStore, appender: Appender) -> None:
        self._logs = logs
        self._appender = appender

    async def erase_page(self, name: str, user_id: str) -> int:
        """Remove up to MAX_PAGE_ROWS entries of an author; returns how many it has found."""
        page = await read_author_page(self._logs, name, user_id)
        current = [one.entry for one in page if one.entry is not None]
        messages = [one.seq for one in current if isinstance(one, Entry) and not one.deleted]
        # Their deletes are of an interrupted removal and may not have been published.
        messages += [one.erased_seq for one in page if one.erased_seq is not None]
        # All at once: they wait in one queue, and a commit takes as many as fit.
        await asyncio.gather(*(self._delete(name, seq) for seq in messages))
        reactions = {
            (one.target, one.emoji) for one in current if isinstance(one, Change) and one.emoji
        }
        await gather_limited(self._remove_reaction(name, user_id, *one) for one in reactions)
        finished = await gather_limited(self._anonymize(name, user_id, one) for one in page)
        done = [one.id_key for one, is_done in zip(page, finished, strict=True) if is_done]
        await self._logs.delete_rows(name, done)
        return len(page)

    async def remove_mentions(self, name: str, user_id: str) -> None:
        """Remove the rows that count the mentions of a user."""
        rows = self._logs.query_rows(name, f"n:{user_id}:", f"n:{user_id};", select=["RowKey"])
        await self._logs.delete_rows(name, [row["RowKey"] async for row in rows])

    async def remove_queued(self, name: str, user_id: str) -> bool:
        """Remove queue rows with drafts of an author that no instance will commit.

        Whether there are none that may still be committed.
        """
        _, queue = await self._logs.read_queue(name)
        rows = [row for row in queue if any(one.sender == user_id for one in row.drafts)]
        old = [row.key for row in rows if row.age_seconds > MAX_ROW_AGE_SECONDS]
        await self._logs.delete_rows(name, old)
        return len(old) == len(rows)

    async def _delete(self, name: str, seq: int) -> None:
        """The id is the same in a repetition, and none that a request could have."""
        draft = DeleteDraft(
            ERASURE_SENDER, f"erase.{seq}", target=seq, moderator=True, anonymous=True
        )
        await self._append(name, draft)

    async def _remove_reaction(self, name: str, user_id: str, target: int, emoji: str) -> None:
        """Remove a reaction. That of a deleted message has a row and no entry any more."""
        key = reaction_key(target, user_id, emoji)
        if await self._logs.find_row(name, key) is None:
            return
        draft = ReactionDraft(user_id, _new_id(), target=target, emoji=emoji, on=False)
        if not await self._append(name, draft):
            await self._logs.delete_rows(name, [key])

    async def _append(self, name: str, draft: DeleteDraft | ReactionDraft) -> bool:
        """Whether the target was there."""
        try:
            await self._appender.append(name, draft)
        except ApiError as error:
            if error.code not in _GONE:
                raise
            return False
        return True

    async def _anonymize(self, name: str, user_id: str, one: AuthorEntry) -> bool:
        """Remove the author from a tombstone or a change, which no other request writes.

        False if the entry has to be read again.
        """
        row = None if one.row is None else await self._logs.find_row(name, one.row["RowKey"])
        if row is None or row["sender"] != user_id:
            return True
        if not one.is_current:
            await self._logs.delete_rows(name, [row["RowKey"]])
            return True
        if "kind" not in row and not row.get("deleted"):
            return False  # Retention has reached the message meanwhile.
        etag = str(row.metadata["etag"])  # type: ignore[attr-defined] # the SDK's dict has it
        try:
            await self._logs.replace_row({**row, "sender": DELETED_USER, "name": ""}, etag)
        except TableTransactionError as error:
            if error.status_code not in {404, 412}:
                raise
            return False
        return True


def _new_id() -> str:
    return secrets.token_urlsafe(12)


@cache
def erasure() -> Erasure:
    """The erasure of this process."""
    return Erasure(logs(), appender())
