"""Who may get direct messages from whom."""

import asyncio

from realtime.azure.web_pubsub import hub
from realtime.errors import ApiError
from realtime.users.bans import bans
from realtime.users.blocks import blocks
from realtime.users.memberships import memberships


async def check_recipient(sender: str, user_id: str) -> None:
    """Raises ApiError `unreachable` for a user who is banned, was never here, or is blocked by or
    blocks the sender.

    The answer and the reads are the same, so that it does not tell which.
    """
    banned, known, connected, apart = await asyncio.gather(
        bans().is_banned(user_id),
        memberships().has_any(user_id),
        hub().user_exists(user_id),
        blocks().are_apart(sender, user_id),
    )
    if banned or apart or not (known or connected):
        raise ApiError("unreachable", "The message was not delivered.")
