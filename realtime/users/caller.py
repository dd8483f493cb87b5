"""The authenticated caller of an HTTP function."""

import asyncio
from collections.abc import Mapping

from realtime.errors import ApiError
from realtime.identity import identity_provider
from realtime.identity.caller import Caller
from realtime.identity.deletions import deletions
from realtime.identity.revocations import revocations
from realtime.users.bans import bans


async def authenticate(headers: Mapping[str, str]) -> Caller:
    """The caller of a request. Raises ApiError `unauthenticated`, `forbidden` or `banned`."""
    caller = await identity_provider().authenticate(headers)
    await asyncio.gather(_check_session(caller), check_not_deleted(caller))
    await bans().check(caller.user_id)
    return caller


async def authenticate_owner(headers: Mapping[str, str]) -> Caller:
    """The caller who asks for the own data: also one who is banned, or is being deleted."""
    caller = await identity_provider().authenticate(headers)
    await _check_session(caller)
    return caller


async def check_not_deleted(caller: Caller, *, now: bool = False) -> None:
    """With `now` by the table as it is now. Raises ApiError.

    A guest can begin a new session; an account keeps its id, so it cannot be used again.
    """
    check = deletions().check_now if now else deletions().check
    try:
        await check(caller.user_id)
    except ApiError as error:
        code = "unauthenticated" if caller.session else "forbidden"
        raise ApiError(code, error.message) from None


async def _check_session(caller: Caller) -> None:
    if caller.session:
        await revocations().check(caller.session)
