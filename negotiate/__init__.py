"""Negotiate: identifies the caller and returns a client access token for Web PubSub."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache

import azure.functions as func
import msgspec
from msgspec import Struct

from negotiate.grants import (
    NegotiateRequest,
    granted_groups,
    granted_roles,
    requested_room,
    requested_streams,
)
from realtime.azure.web_pubsub import hub
from realtime.concurrency import gather_all
from realtime.errors import ApiError
from realtime.http import Access, endpoint, parse_body
from realtime.identity import identity_provider, session_signer
from realtime.identity.address import client_address
from realtime.identity.caller import Caller
from realtime.identity.display_names import check_not_reserved
from realtime.identity.origin import check_origin, is_from_other_site
from realtime.identity.profiles import profiles
from realtime.identity.reserved_names import reserved_names
from realtime.identity.revocations import revocations
from realtime.identity.sessions import Session, rename_session
from realtime.messages import Frame, format_timestamp
from realtime.rate_limit import RateLimiter
from realtime.rooms.access import room_access
from realtime.settings import settings, split_list
from realtime.streams.definition import StreamInfo, registry
from realtime.streams.pushed import list_streams
from realtime.streams.status import read_latest
from realtime.streams.store import stream_store
from realtime.users.bans import bans
from realtime.users.caller import check_not_deleted
from realtime.users.moderation import find_allowed_name, moderate

GUEST_JITTER_SECONDS = 5.0

bp = func.Blueprint()


class NegotiateResponse(Struct, frozen=True):
    """What a client connects with.

    `url` contains the token; `expires_on` is the token's expiry; `name` is the display name;
    `session` proves a guest's identity in later requests; `latest` has each group's last frame.
    """

    url: str
    token: str
    expires_on: str
    user_id: str
    name: str
    room: str | None
    groups: list[str]
    session: str | None
    latest: dict[str, Frame | None]


@endpoint(
    bp,
    "GET POST",
    "api/negotiate",
    Access.PUBLIC,
    request=NegotiateRequest,
    errors="invalid_room unknown_group unauthenticated banned forbidden unknown_room rate_limited "
    "moderated moderation_unavailable invalid_name name_taken",
)
async def negotiate(req: func.HttpRequest) -> NegotiateResponse:
    """Get a client access token for one user, a room and streams."""
    check_origin(req.headers, split_list(settings().allowed_origins))
    request = _parse(req)
    room = requested_room(request)
    streams = requested_streams(request, (await list_streams()).values())
    caller = await identity_provider().authenticate_or_create(
        req.headers, request.name or request.user_id
    )
    if caller.is_new:
        _check_new_guest(req.headers)
        check_not_reserved(request.name or request.user_id)
        checks = [_check_new_name(caller)]
    else:
        _user_limiter().acquire(caller.user_id)
        checks = [check_not_deleted(caller, now=True)]
        if caller.session:
            checks.append(revocations().check_now(caller.user_id, caller.session.id))
        checks.append(bans().check(caller.user_id))  # nobody can have banned the id of a new guest
    if room:
        checks.append(room_access().check_open(room, caller.user_id))
    await gather_all(*checks)
    return await _respond(caller, room, streams)


def _parse(req: func.HttpRequest) -> NegotiateRequest:
    if req.get_body():
        return parse_body(req, NegotiateRequest)
    return msgspec.convert(dict(req.params), NegotiateRequest)


def _check_new_guest(headers: Mapping[str, str]) -> None:
    """Limit the new guests of an address. Raises ApiError.

    A page of an allowed origin gets a new guest only if the platform's CORS settings allow it, too:
    the content type makes a browser ask first (fetch.spec.whatwg.org, "CORS-preflight request").
    """
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if is_from_other_site(headers) and content_type != "application/json":
        raise ApiError("forbidden", "Requests from other sites use POST with a JSON body.")
    _guest_limiter().acquire(client_address(headers))


async def _check_new_name(caller: Caller) -> None:
    await reserved_names().check(caller.name, caller.user_id)
    await moderate(caller.user_id, "", caller.name)


async def _respond(
    caller: Caller, room: str | None, streams: list[StreamInfo]
) -> NegotiateResponse:
    now = datetime.now(UTC)
    name = await _find_name(caller)
    latest = await asyncio.gather(*(read_latest(stream_store(), one, now) for one in streams))
    roles = granted_roles(
        {stream.name: stream for stream in [*registry.values(), *streams]}.values()
    )
    token = await hub().get_client_access_token(
        caller.user_id,
        groups=granted_groups(room, streams, name, caller.session),
        roles=roles,
    )
    groups = [stream.group for stream in streams]
    return NegotiateResponse(
        url=token.url,
        token=token.token,
        expires_on=format_timestamp(token.expires_on),
        user_id=caller.user_id,
        room=room,
        groups=groups,
        name=name,
        session=_renew(caller.session, name),
        latest=dict(zip(groups, latest, strict=True)),
    )


async def _find_name(caller: Caller) -> str:
    """The name that the user has chosen, or that of the session or the account."""
    profile = None if caller.is_new else await profiles().find_cached(caller.user_id)
    if profile and (profile.chosen or profile.name == caller.name):
        return profile.name
    return await find_allowed_name(caller)


def _renew(session: Session | None, name: str) -> str | None:
    return session_signer().sign(rename_session(session, name)) if session else None


@cache
def _user_limiter() -> RateLimiter:
    return RateLimiter("negotiate requests", settings().negotiates_per_minute)


@cache
def _guest_limiter() -> RateLimiter:
    """For addresses: a school or an office has one. They wait for different times."""
    return RateLimiter(
        "new guests", settings().guests_per_minute, jitter_seconds=GUEST_JITTER_SECONDS
    )
