"""Operators: sessions that a server mints, acts of operators, and the audit log."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import azure.functions as func
from msgspec import Meta, Struct

from api.authorization import authenticate_operator
from api.bans import BanResponse, change_ban
from api.blueprint import bp
from realtime.errors import ApiError
from realtime.http import Access, endpoint
from realtime.identity import session_signer
from realtime.identity.deletions import deletions
from realtime.identity.display_names import (
    MAX_NAME_CHARACTERS,
    RESERVED_NAMES,
    validate_display_name,
)
from realtime.identity.reserved_names import reserved_names
from realtime.identity.sessions import SLIDING_DAYS
from realtime.messages import format_timestamp
from realtime.names import DELETED_USER, validate_user_id
from realtime.settings import settings
from realtime.users.audit import KEY_HOLDER, audit_log, record_act

MAX_PAGE_ACTS = 100


class SessionRequest(Struct, frozen=True):
    """A session for a user for whom the server vouches; an operator administers.

    The session ends after `hours`, renewed or not.
    """

    name: Annotated[str, Meta(max_length=4 * MAX_NAME_CHARACTERS)]
    operator: bool = False
    hours: Annotated[int, Meta(ge=1, le=24 * SLIDING_DAYS)] = 24


class SessionResponse(Struct, frozen=True):
    """`session` is what the user sends as a bearer token, first of all to negotiate."""

    user_id: str
    name: str
    operator: bool
    session: str
    expires_on: str


@endpoint(
    bp,
    "POST",
    "api/users/{user_id}/session",
    Access.SERVER,
    errors="invalid_user invalid_name user_deleted",
)
async def user_session(req: func.HttpRequest, body: SessionRequest) -> SessionResponse:
    """Mint a session for a user id of the server's choice: its own users, bots and operators."""
    user_id = validate_user_id(req.route_params["user_id"])
    if user_id.lower() in {*RESERVED_NAMES, DELETED_USER, KEY_HOLDER}:
        raise ApiError("invalid_user", "This id belongs to the app.")
    name = validate_display_name(body.name)
    if not settings().has_minted_sessions:
        raise ApiError(
            "invalid_request",
            "Sessions are minted where IDENTITY is guest or oidc, and SESSION_SECRET is set.",
        )
    await deletions().check_now(user_id)
    await record_act(req.headers, "mint operator" if body.operator else "mint", user_id)
    await reserved_names().add(name, user_id)
    lifetime = timedelta(hours=body.hours)
    session = session_signer().mint(user_id, name, lifetime, operator=body.operator)
    return SessionResponse(
        user_id=user_id,
        name=name,
        operator=body.operator,
        session=session_signer().sign(session),
        expires_on=format_timestamp(datetime.fromtimestamp(session.began, UTC) + lifetime),
    )


class AuditQuery(Struct, frozen=True):
    """The newest acts, or those after the key of the page before."""

    after: Annotated[str, Meta(max_length=64)] = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_ACTS)] = MAX_PAGE_ACTS


class AuditEntry(Struct, frozen=True):
    """`actor` is an operator's user id, or `key` for who only had a function key."""

    key: str
    timestamp: str
    actor: str
    action: str
    target: str


class AuditPage(Struct, frozen=True):
    acts: list[AuditEntry]


@endpoint(bp, "GET", "api/audit", Access.SESSION)
async def audit_list(req: func.HttpRequest, query: AuditQuery) -> AuditPage:
    """List what operators and key holders have done, newest first. For operators."""
    await authenticate_operator(req)
    return await _read_acts(query)


@endpoint(bp, "GET", "api/server/audit", Access.SERVER)
async def server_audit(req: func.HttpRequest, query: AuditQuery) -> AuditPage:
    """List the same by key."""
    return await _read_acts(query)


async def _read_acts(query: AuditQuery) -> AuditPage:
    acts = await audit_log().list_page(query.limit, query.after)
    return AuditPage(
        [AuditEntry(one.key, one.timestamp, one.actor, one.action, one.target) for one in acts]
    )


@endpoint(
    bp, "PUT DELETE", "api/operator/users/{user_id}/ban", Access.SESSION, errors="invalid_user"
)
async def operator_ban(req: func.HttpRequest) -> BanResponse:
    """Ban a user, or remove the ban, with an operator's session in place of a function key."""
    await authenticate_operator(req)
    return await change_ban(req)
