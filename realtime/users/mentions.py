"""Which of the mentioned users get a mention."""

import asyncio
from collections.abc import Sequence

from realtime.concurrency import gather_limited
from realtime.users.blocks import blocks
from realtime.users.memberships import Kind, memberships


async def find_unmentioned(
    kind: Kind, name: str, sender: str, mentions: Sequence[str]
) -> tuple[str, ...]:
    """Those who do not get it: they are not in the conversation, or block the sender.

    The sender is told the same about both.
    """
    if not mentions:
        return ()
    reached = await gather_limited(_is_reached(kind, name, sender, one) for one in mentions)
    return tuple(one for one, is_reached in zip(mentions, reached, strict=True) if not is_reached)


async def _is_reached(kind: Kind, name: str, sender: str, user_id: str) -> bool:
    if user_id == sender:
        return True
    if kind == "direct":
        return user_id == name
    membership, is_blocked = await asyncio.gather(
        memberships().find(user_id, "room", name), blocks().has(user_id, sender)
    )
    return membership is not None and not is_blocked
