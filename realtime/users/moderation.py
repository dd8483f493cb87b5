"""Calls the moderation function that the setting MODERATE names, before a text is stored.

It gets the sender's id, the room (or the recipient's id) and the text. For a display name or a
status text the room is "". It returns None to allow the text, or a sentence with the reason for its
rejection. docs/moderation.md has an example.
"""

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable
from functools import cache

from msgspec import Struct

from realtime.errors import ApiError
from realtime.identity.caller import ACCOUNT_DEFAULT_NAME, Caller
from realtime.settings import InvalidSettingsError, settings

MODERATION_TIMEOUT_SECONDS = 2.0

Moderator = Callable[[str, str, str], Awaitable[str | None]]

log = logging.getLogger(__name__)


class Moderation(Struct, frozen=True):
    """A moderation function, and whether messages pass when it fails or times out."""

    moderator: Moderator
    pass_on_failure: bool
    timeout_seconds: float = MODERATION_TIMEOUT_SECONDS

    async def check(self, sender: str, conversation: str, content: str) -> None:
        """Raises ApiError `moderated` or `moderation_unavailable`."""
        try:
            async with asyncio.timeout(self.timeout_seconds):
                reason = _check_reason(await self.moderator(sender, conversation, content))
        except Exception as error:  # noqa: BLE001 - the setting decides about any failure
            # Only the type: the error's text may contain the message.
            log.warning("moderation failed: %s", type(error).__name__)
            if self.pass_on_failure:
                return
            raise ApiError(
                "moderation_unavailable",
                "Messages cannot be checked now; try again.",
                retry_after_ms=2000,
            ) from None
        if reason is not None:
            raise ApiError("moderated", reason)


def _check_reason(reason: object) -> str | None:
    if not isinstance(reason, str | None):
        raise TypeError(f"expected a sentence or None, got {type(reason).__name__}")
    return reason


async def moderate(sender: str, conversation: str, content: str) -> None:
    """Raises ApiError if the moderation function rejects; without MODERATE everything passes."""
    if moderation := _moderation():
        await moderation.check(sender, conversation, content)


async def find_allowed_name(caller: Caller) -> str:
    """The name of the caller's session, or of the account if moderation accepts it.

    The name of an account comes from its issuer, so it is replaced and not rejected: the user could
    not choose another one.
    """
    if caller.session:
        return caller.name
    try:
        await moderate(caller.user_id, "", caller.name)
    except ApiError as error:
        if error.code != "moderated":
            raise
        return ACCOUNT_DEFAULT_NAME
    return caller.name


@cache
def _moderation() -> Moderation | None:
    name = settings().moderate
    if not name:
        return None
    return Moderation(_import(name), pass_on_failure=settings().moderate_failure == "pass")


def _import(name: str) -> Moderator:
    module, _, function = name.partition(":")
    try:
        moderator: Moderator = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError):
        raise InvalidSettingsError(
            f"MODERATE is {name!r}; expected package.module:function of the app. "
            "Set it in the function app's application settings."
        ) from None
    return moderator
