"""A step of your own before a message is kept: an async function named by the setting MODERATE.

It is called with the sender's id, the room (or the person written to) and the text, and returns
None to let the message pass or a sentence that says why not.
"""

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable
from functools import cache

from realtime.messages import Refused
from realtime.settings import InvalidSettings, settings

PATIENCE = 2.0
"""How many seconds the function may take."""

Moderator = Callable[[str, str, str], Awaitable[str | None]]

log = logging.getLogger(__name__)


async def moderated(sender: str, where: str, content: str) -> None:
    """Pass, or be refused: `moderated` by the function, or `moderation_unavailable` without it.

    When the function fails or is late, MODERATE_FAILURE decides: `refuse` or `pass`.
    """
    moderator = _moderator()
    if moderator is None:
        return
    try:
        async with asyncio.timeout(PATIENCE):
            objection = await moderator(sender, where, content)
        if not isinstance(objection, str | None):
            raise TypeError(f"expected a sentence or None, got {type(objection).__name__}")  # noqa: TRY301 - it is the function's failure like any other
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in there, the setting decides
        # By its type only: the error's own text may quote the message.
        log.warning("moderation failed: %s", type(error).__name__)
        if settings().moderate_failure == "refuse":
            raise Refused(
                "moderation_unavailable",
                "Messages cannot be checked now; try again.",
                retry_after_ms=2000,
            ) from None
        return
    if objection is not None:
        raise Refused("moderated", objection)


@cache
def _moderator() -> Moderator | None:
    name = settings().moderate
    if not name:
        return None
    module, _, function = name.partition(":")
    try:
        moderator: Moderator = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError):
        raise InvalidSettings(
            f"MODERATE is {name!r}; expected package.module:function of the app. "
            "Set it in the function app's application settings."
        ) from None
    return moderator
