"""The audit log: who administered what and when, in the table `audit`. It has no texts.

One partition, newest first: a row key begins with the milliseconds that are left until a far date.
A row has the acts that were added while the row before was written, so a server that sends
hundreds of messages a second under users' ids needs few writes. A timer purges old rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from realtime.azure.operations import Delete, Replace
from realtime.azure.purge import PURGE_BATCH_ROWS, purge_rows
from realtime.azure.row_keys import newest_first_key, newest_key_until
from realtime.azure.tables import Tables, tables
from realtime.concurrency import SharedCalls
from realtime.errors import ApiError
from realtime.identity import session_signer
from realtime.identity.caller import bearer_token
from realtime.identity.deletions import deletions
from realtime.identity.revocations import revocations
from realtime.messages import format_timestamp
from realtime.settings import settings
from realtime.users.bans import bans

PARTITION = "audit"

KEY_HOLDER = "key"
"""Who acts with a function key and without an operator's session."""

MAX_ROW_ACTS = 50
"""An act has at most 400 characters, and a property of a row has 32,768."""

AUDIT_DAYS = 365
"""How long an act is stored."""


class Act(Struct, frozen=True):
    """`actor` is an operator's user id, or KEY_HOLDER; `target` a user, room or group.

    `key` is the row key and the place in the row.
    """

    key: str
    timestamp: str
    actor: str
    action: str
    target: str


class _StoredAct(Struct, frozen=True, array_like=True):
    """An act in the property `acts` of a row, a JSON array, newest first."""

    moment: datetime
    actor: str
    action: str
    target: str


class AuditLog:
    """The acts of operators and of key holders."""

    def __init__(
        self, tables: Tables, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._tables = tables
        self._now = now
        self._waiting: list[_StoredAct] = []
        self._writes = SharedCalls[str, None]()

    async def add(self, actor: str, action: str, target: str) -> None:
        """Returns when the act is stored; raises the error of the write that it was part of."""
        self._waiting.append(_StoredAct(self._now(), actor, action, target))
        await self._writes.run(PARTITION, self._write_waiting)

    async def _write_waiting(self) -> None:
        acts, self._waiting = self._waiting, []
        # A transaction that is repeated after a lost response finds its rows.
        await self._tables.open("audit").submit([Replace(row) for row in _encode_rows(acts)])

    async def list_page(self, limit: int, after: str = "") -> list[Act]:
        """The newest acts, or those that are older than a key."""
        rows = self._tables.open("audit").query_entities(
            "PartitionKey eq @audit and RowKey ge @first",
            parameters={"audit": PARTITION, "first": after.partition(".")[0]},
            results_per_page=limit,
        )
        found: list[Act] = []
        async for row in rows:
            found += (act for act in _decode_row(row) if act.key > after)
            if len(found) >= limit:
                break
        return found[:limit]

    async def purge(self) -> int:
        """Remove the rows whose acts are older than AUDIT_DAYS; returns how many.

        The time and the next run are those of `purge_rows`.
        """
        table = self._tables.open("audit")
        first = newest_key_until(self._now() - timedelta(days=AUDIT_DAYS))
        return await purge_rows(
            "audit",
            lambda: table.query_entities(
                "PartitionKey eq @audit and RowKey ge @first",
                parameters={"audit": PARTITION, "first": first},
                select=["RowKey"],
                results_per_page=PURGE_BATCH_ROWS,
            ),
            lambda rows: table.submit([Delete(PARTITION, row["RowKey"]) for row in rows]),
        )


def _encode_rows(acts: Sequence[_StoredAct]) -> Iterator[dict[str, str]]:
    for start in range(0, len(acts), MAX_ROW_ACTS):
        stored = acts[start : start + MAX_ROW_ACTS][::-1]
        yield {
            "PartitionKey": PARTITION,
            "RowKey": newest_first_key(stored[0].moment),
            "acts": msgspec.json.encode(stored).decode(),
        }


def _decode_row(row: Mapping[str, Any]) -> Iterator[Act]:
    for place, act in enumerate(msgspec.json.decode(row["acts"], type=list[_StoredAct])):
        yield Act(
            f"{row['RowKey']}.{place:02}",
            format_timestamp(act.moment),
            act.actor,
            act.action,
            act.target,
        )


async def record_act(headers: Mapping[str, str], action: str, target: str) -> None:
    """Add an act of a request that the platform has let in by its function key.

    The row is written before the act: an act without a row would be worse than the reverse.
    """
    actor = await find_operator(headers) or KEY_HOLDER
    await audit_log().add(actor, action, target)


async def find_operator(headers: Mapping[str, str]) -> str | None:
    """The operator whose session a request carries, if any."""
    if not settings().has_minted_sessions or "authorization" not in headers:
        return None
    try:
        session = session_signer().verify(bearer_token(headers))
        await revocations().check(session)
        await deletions().check(session.user_id)
        await bans().check(session.user_id)
    except ApiError:
        return None
    return session.user_id if session.operator else None


@cache
def audit_log() -> AuditLog:
    """The audit log as this process writes it."""
    return AuditLog(tables())
