"""A step of your own before a message is kept: an async function named by the setting MODERATE.

It is called with the sender's id, the room (or the person written to) and the text, and returns
None to let the message pass or a sentence that says why not. docs/moderation.md has an example.
"""

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache

from realtime.messages import Refused
from realtime.settings import InvalidSettings, settings

PATIENCE = 2.0
"""How many seconds the function may take."""

Moderator = Callable[[str, str, str], Awaitable[str | None]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Moderation:
    """A moderator, and what becomes of a message when it fails or is late."""

    moderator: Moderator
    passes_on_failure: bool
    patience: float = PATIENCE

    async def check(self, sender: str, where: str, content: str) -> None:
        """Pass, or be refused: `moderated`, or `moderation_unavailable`."""
        try:
            async with asyncio.timeout(self.patience):
                objection = _sentence(await self.moderator(sender, where, content))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong there, the setting decides
            # By its type only: the error's own text may quote the message.
            log.warning("moderation failed: %s", type(error).__name__)
            if self.passes_on_failure:
                return
            raise Refused(
                "moderation_unavailable",
                "Messages cannot be checked now; try again.",
                retry_after_ms=2000,
            ) from None
        if objection is not None:
            raise Refused("moderated", objection)


def _sentence(objection: object) -> str | None:
    if not isinstance(objection, str | None):
        raise TypeError(f"expected a sentence or None, got {type(objection).__name__}")
    return objection


async def moderated(sender: str, where: str, content: str) -> None:
    """Pass, or be refused, as the settings have it; without MODERATE everything passes."""
    if moderation := _moderation():
        await moderation.check(sender, where, content)


@cache
def _moderation() -> Moderation | None:
    name = settings().moderate
    if not name:
        return None
    return Moderation(_named(name), passes_on_failure=settings().moderate_failure == "pass")


def _named(name: str) -> Moderator:
    module, _, function = name.partition(":")
    try:
        moderator: Moderator = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError):
        raise InvalidSettings(
            f"MODERATE is {name!r}; expected package.module:function of the app. "
            "Set it in the function app's application settings."
        ) from None
    return moderator
