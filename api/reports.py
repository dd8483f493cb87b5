"""Reports of messages: users make them, operators read and close them."""

from typing import Annotated, Literal

import azure.functions as func
from msgspec import Meta, Struct, field

from api.authorization import authenticate_operator, require_operator
from api.blueprint import bp
from realtime.concurrency import gather_limited
from realtime.errors import ApiError
from realtime.http import Access, endpoint, parse_body
from realtime.messages import Entry
from realtime.names import direct_log, users_of_direct_log, validate_room, validate_user_id
from realtime.requests import Seq
from realtime.rooms.access import room_access
from realtime.rooms.history import history
from realtime.rooms.reported import find_reported
from realtime.users.audit import audit_log, record_act
from realtime.users.caller import authenticate
from realtime.users.limits import report_limiter
from realtime.users.reports import StoredReport, reports, validate_reason, validate_report_id

MAX_PAGE_REPORTS = 50


class NewReport(Struct, frozen=True):
    """The message `seq` of a room, or of the caller's conversation with a user."""

    seq: Seq
    reason: str
    room: str | None = None
    user_id: str | None = None


class NewReportResponse(Struct, frozen=True):
    """A repeated report has the id of the first one."""

    id: str


class Report(Struct, frozen=True, omit_defaults=True):
    """A report of a message in a room, or in the conversation of two `users`.

    `from` has written the message; `message` is it as it is stored now, without a text if it was
    deleted, and left out if it is past retention.
    """

    id: str
    state: Literal["open", "closed"]
    timestamp: str
    seq: int
    sender: str = field(name="from")
    reporter: str
    reason: str
    room: str | None = None
    users: list[str] | None = None
    message: Entry | None = None


class ReportList(Struct, frozen=True, omit_defaults=True):
    """One page, the newest first; `next` is the `after` of the next one, where there is one."""

    reports: list[Report]
    next: str | None = None


class ReportQuery(Struct, frozen=True):
    """The reports that are open or closed, after the id of the page before."""

    state: Literal["open", "closed"] = "open"
    after: Annotated[str, Meta(max_length=64)] = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_REPORTS)] = MAX_PAGE_REPORTS


class ReportChange(Struct, frozen=True):
    """Closes a report, or opens it again."""

    state: Literal["open", "closed"]


@endpoint(
    bp,
    "POST",
    "api/reports",
    Access.SESSION,
    request=NewReport,
    errors="invalid_room invalid_user invalid_reason unknown_room removed unknown_message "
    "invalid_target rate_limited",
)
async def report_new(req: func.HttpRequest) -> NewReportResponse:
    """Report a message to the operators."""
    caller = await authenticate(req.headers)
    body = parse_body(req, NewReport)
    reason = validate_reason(body.reason)
    if (body.room is None) == (body.user_id is None):
        raise ApiError("invalid_request", "Expected either `room` or `user_id`.")
    if body.room is not None:
        log = validate_room(body.room)
        await room_access().check(log, caller.user_id)
    else:
        log = direct_log(caller.user_id, validate_user_id(body.user_id))
    report_limiter().acquire(caller.user_id)
    epoch, message = await find_reported(log, body.seq, caller.user_id)
    report_id = await reports().add(caller.user_id, log, epoch, message.seq, message.sender, reason)
    return NewReportResponse(report_id)


@endpoint(bp, "GET", "api/reports", Access.SERVER)
async def report_list(req: func.HttpRequest, query: ReportQuery) -> ReportList:
    """List reports, the newest first."""
    return await _read_page(query)


@endpoint(bp, "PATCH", "api/reports/{report_id}", Access.SERVER, errors="unknown_report")
async def report_change(req: func.HttpRequest, body: ReportChange) -> Report:
    """Close a report, or open it again."""
    report_id = validate_report_id(req.route_params["report_id"])
    await record_act(req.headers, _describe(body), report_id)
    return await _change_state(report_id, body)


@endpoint(bp, "GET", "api/moderation/reports", Access.SESSION)
async def moderation_report_list(req: func.HttpRequest, query: ReportQuery) -> ReportList:
    """List reports with an operator's session in place of a function key."""
    await authenticate_operator(req)
    return await _read_page(query)


@endpoint(
    bp,
    "PATCH",
    "api/moderation/reports/{report_id}",
    Access.SESSION,
    request=ReportChange,
    errors="unknown_report",
)
async def moderation_report_change(req: func.HttpRequest) -> Report:
    """Close a report with an operator's session, or open it again."""
    caller = await authenticate(req.headers)
    body = parse_body(req, ReportChange)
    require_operator(caller)
    report_id = validate_report_id(req.route_params["report_id"])
    await audit_log().add(caller.user_id, _describe(body), report_id)
    return await _change_state(report_id, body)


async def _read_page(query: ReportQuery) -> ReportList:
    found, following = await reports().list_page(query.state, query.limit, query.after)
    return ReportList(await gather_limited(_complete(one) for one in found), following)


async def _change_state(report_id: str, change: ReportChange) -> Report:
    return await _complete(await reports().change_state(report_id, change.state))


def _describe(change: ReportChange) -> str:
    return "close report" if change.state == "closed" else "open report"


async def _complete(stored: StoredReport) -> Report:
    """With the message, unless its log has begun anew since the report."""
    users = users_of_direct_log(stored.log)
    return Report(
        stored.id,
        stored.state,
        stored.timestamp,
        stored.seq,
        stored.sender,
        stored.reporter,
        stored.reason,
        room=None if users else stored.log,
        users=list(users) if users else None,
        message=await history().find_message(stored.log, stored.seq, stored.epoch),
    )
