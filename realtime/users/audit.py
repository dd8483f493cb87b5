"""The audit log: who administered what and when, in the table `audit`. It has no texts.

One partition, newest first: a row key begins with the milliseconds that are left until a far date.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache

from msgspec import Struct

from realtime.azure.operations import Replace
from realtime.azure.row_keys import newest_first_key
from realtime.azure.row_writes import RowWrites
from realtime.azure.tables import Tables, tables
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


class Act(Struct, frozen=True):
    """One row. `actor` is an operator's user id, or KEY_HOLDER; `target` a user, room or group."""

    key: str
    timestamp: str
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
        self._writes = RowWrites(lambda: tables.open("audit"))

    async def add(self, actor: str, action: str, target: str) -> None:
        moment = self._now()
        key = newest_first_key(moment)
        row = {
            "PartitionKey": PARTITION,
            "RowKey": key,
            "timestamp": format_timestamp(moment),
            "actor": actor,
            "action": action,
            "target": target,
        }
        # A transaction that is repeated after a lost response finds its rows.
        await self._writes.submit(Replace(row))

    async def list_page(self, limit: int, after: str = "") -> list[Act]:
        """The newest acts, or those that are older than a key."""
        rows = self._tables.open("audit").query_entities(
            "PartitionKey eq @audit and RowKey gt @after",
            parameters={"audit": PARTITION, "after": after},
            results_per_page=limit,
        )
        found: list[Act] = []
        async for row in rows:
            if len(found) == limit:
                break
            found.append(
                Act(row["RowKey"], row["timestamp"], row["actor"], row["action"], row["target"])
            )
        return found


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
