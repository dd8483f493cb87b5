"""Rows of ended sessions: they stay as long as a token of the session is valid."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from realtime.azure.purge import PURGE_BATCH_ROWS
from realtime.errors import ApiError
from realtime.identity.revocations import Revocations
from realtime.identity.sessions import SLIDING_DAYS, SessionSigner
from tests.instances import Instance


async def test_an_ended_session_is_refused_until_its_last_token_has_expired(one: Instance) -> None:
    revocations = Revocations(one.tables)
    user_id = f"user{uuid4().hex[:8]}"
    session = SessionSigner("x" * 32).begin(user_id, "Ann")
    await revocations.add(session)
    now = datetime.now(UTC)

    await revocations.purge(now + timedelta(days=SLIDING_DAYS))
    with pytest.raises(ApiError, match="session has ended"):
        await Revocations(one.tables).check_now(user_id, session.id)

    assert await revocations.purge(now + timedelta(days=SLIDING_DAYS + 2)) >= 1
    await Revocations(one.tables).check_now(user_id, session.id)


async def test_more_rows_than_one_batch_are_removed(one: Instance) -> None:
    revocations = Revocations(one.tables)
    signer = SessionSigner("x" * 32)
    sessions = [signer.begin(f"user{n}", "Ann") for n in range(PURGE_BATCH_ROWS + 5)]
    table = one.tables.open("revocations")
    for each in sessions:
        await table.create_entity({"PartitionKey": each.user_id, "RowKey": each.id})

    assert await revocations.purge(datetime.now(UTC) + timedelta(days=365)) >= len(sessions)
    for each in sessions:
        await revocations.check_now(each.user_id, each.id)
