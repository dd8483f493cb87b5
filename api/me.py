"""The caller: name, status and colour, and the end of a session."""

from functools import cache
from typing import Annotated, Any

import azure.functions as func
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from api.blueprint import bp
from realtime.azure.web_pubsub import hub
from realtime.concurrency import gather_limited
from realtime.errors import ApiError
from realtime.http import Access, endpoint, parse_body
from realtime.identity import session_signer
from realtime.identity.caller import Caller
from realtime.identity.display_names import (
    MAX_NAME_CHARACTERS,
    make_skeleton,
    validate_display_name,
)
from realtime.identity.profiles import Profile, profiles
from realtime.identity.reserved_names import reserved_names
from realtime.identity.revocations import revocations
from realtime.identity.sessions import rename_session
from realtime.names import session_group
from realtime.rate_limit import RateLimiter
from realtime.rooms.presence import presence
from realtime.users.blocks import blocks
from realtime.users.caller import authenticate
from realtime.users.memberships import memberships
from realtime.users.moderation import find_allowed_name, moderate
from realtime.visibility import is_visible

MAX_STATUS_CHARACTERS = 100

COLOURS = 12
"""The number of colours of the page's palette."""

CHANGES_PER_MINUTE = 6
"""Each change is published to the user's rooms."""

MAX_NOTIFIED_ROOMS = 100
"""Rooms to which a change is published; the others show it when the user is back."""


class Me(Struct, frozen=True):
    """The caller. `session` replaces the caller's session, which has the name before.

    `blocked` are the users whom the caller blocks.
    """

    user_id: str
    name: str
    status: str
    colour: int | None
    operator: bool
    session: str | None
    blocked: list[str]


class ProfileChange(Struct, frozen=True):
    """What is to change; what is missing stays. With `colour` null the page chooses the colour."""

    name: Annotated[str, Meta(max_length=4 * MAX_NAME_CHARACTERS)] | None = None
    status: Annotated[str, Meta(max_length=MAX_STATUS_CHARACTERS)] | None = None
    colour: Annotated[int, Meta(ge=0, lt=COLOURS)] | UnsetType | None = UNSET


@endpoint(bp, "GET", "api/me", Access.SESSION)
async def me_show(req: func.HttpRequest) -> Me:
    """Get the caller's id, name, status, colour and blocked users."""
    caller = await authenticate(req.headers)
    return await _make_me(caller, await profiles().find(caller.user_id) or Profile(caller.name))


@endpoint(
    bp,
    "PATCH",
    "api/me",
    Access.SESSION,
    request=ProfileChange,
    errors="invalid_name invalid_status name_taken moderated moderation_unavailable rate_limited",
)
async def me_change(req: func.HttpRequest) -> Me:
    """Change the caller's name, status or colour; the change is published to the user's rooms."""
    caller = await authenticate(req.headers)
    body = parse_body(req, ProfileChange)
    _limiter().acquire(caller.user_id)
    change = await _make_change(caller, body)
    before, changed = await _store(caller, change)
    if _shown(changed) != _shown(before):
        await _publish(caller.user_id, changed, is_renamed=changed.name != before.name)
    return await _make_me(caller, changed)


async def _make_change(caller: Caller, body: ProfileChange) -> dict[str, Any]:
    """The fields of the profile that get other values. Raises ApiError."""
    change: dict[str, Any] = {}
    if body.name is not None:
        name = validate_display_name(body.name)
        await reserved_names().check(name, caller.user_id)
        await moderate(caller.user_id, "", name)
        change |= {"name": name, "chosen": True}
    if body.status is not None:
        status = body.status.strip()
        if status and not (status.isprintable() and is_visible(status)):
            raise ApiError("invalid_status", "A status has no control or invisible characters.")
        if status:
            await moderate(caller.user_id, "", status)
        change["status"] = status
    if not isinstance(body.colour, UnsetType):
        change["colour"] = body.colour
    return change


async def _store(caller: Caller, change: dict[str, Any]) -> tuple[Profile, Profile]:
    """Store a changed profile; returns it before and after.

    The name of a vouched user is reserved as long as it is in use.
    """
    known = await profiles().find(caller.user_id) or Profile(await find_allowed_name(caller))
    expected = replace(known, **change)
    is_vouched = caller.session is not None and caller.session.vouched
    if is_vouched and expected.chosen:
        await reserved_names().add_chosen(expected.name, caller.user_id)
    before, changed = await profiles().change(
        caller.user_id, known, lambda profile: replace(profile, **change)
    )
    if is_vouched and make_skeleton(changed.name) != make_skeleton(before.name):
        await reserved_names().remove_chosen(before.name, caller.user_id)
    return before, changed


def _shown(profile: Profile) -> tuple[str, str, int | None]:
    """What others see."""
    return profile.name, profile.status, profile.colour


async def _publish(user_id: str, profile: Profile, *, is_renamed: bool) -> None:
    found, _ = await memberships().list_page(user_id, MAX_NOTIFIED_ROOMS, after="room:")
    await gather_limited(
        presence().announce_profile(one.name, user_id, profile, is_renamed=is_renamed)
        for one in found
    )


async def _make_me(caller: Caller, profile: Profile) -> Me:
    session = caller.session
    return Me(
        user_id=caller.user_id,
        name=profile.name,
        status=profile.status,
        colour=profile.colour,
        operator=session is not None and session.operator,
        session=session_signer().sign(rename_session(session, profile.name)) if session else None,
        blocked=await blocks().list_blocked(caller.user_id),
    )


class SignOutResponse(Struct, frozen=True):
    user_id: str
    signed_out: bool


@endpoint(bp, "DELETE", "api/me/session", Access.SESSION)
async def me_sign_out(req: func.HttpRequest) -> SignOutResponse:
    """End the caller's session; its connections are closed at once.

    A session of another issuer is ended there; then `signed_out` is false.
    """
    caller = await authenticate(req.headers)
    if caller.session is None:
        return SignOutResponse(caller.user_id, signed_out=False)
    await revocations().add(caller.session)
    await hub().close_group_connections(session_group(caller.session.id), "signed out")
    return SignOutResponse(caller.user_id, signed_out=True)


@cache
def _limiter() -> RateLimiter:
    return RateLimiter("changes of the profile", CHANGES_PER_MINUTE, burst=CHANGES_PER_MINUTE)
