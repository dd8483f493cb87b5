"""The authenticated caller of an HTTP function."""

from collections.abc import Mapping

from realtime.identity import identity_provider
from realtime.identity.caller import Caller
from realtime.identity.revocations import revocations
from realtime.users.bans import bans


async def authenticate(headers: Mapping[str, str]) -> Caller:
    """The caller of a request. Raises ApiError `unauthenticated` or `banned`."""
    caller = await identity_provider().authenticate(headers)
    if caller.session:
        await revocations().check(caller.session)
    await bans().check(caller.user_id)
    return caller
