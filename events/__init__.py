"""What happens when somebody speaks: Web PubSub's webhook, and what a server says over REST."""

import logging
import secrets
from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import msgspec

from events.webhook import Answer, Webhook
from realtime import channels
from realtime.answers import Access, endpoint, json, nothing
from realtime.channels import checked_group, checked_id, checked_room, checked_user, group_of
from realtime.history import history
from realtime.hub import hub
from realtime.logs import Draft, Logs
from realtime.messages import Refused, checked_content
from realtime.people import people
from realtime.presence import presence
from realtime.retention import forget
from realtime.rooms import rooms
from realtime.settings import settings
from realtime.tables import tables

bp = func.Blueprint()
webhook = Webhook()
log = logging.getLogger(__name__)


@endpoint(bp, "OPTIONS POST", "api/pubsub/events", Access.KEY)
async def pubsub_events(req: func.HttpRequest) -> func.HttpResponse:
    """Web PubSub's upstream: its handshake, and its events."""
    if req.method == "OPTIONS":
        return _answered(webhook.consent(req.headers))
    return _answered(await webhook.event(req.headers, req.get_body()))


def _answered(answer: Answer) -> func.HttpResponse:
    if answer.message is None:
        return nothing(answer.headers)
    return json(answer.message, headers=answer.headers)


# --- what a server says ---------------------------------------------------------------------


class ServerMessage(msgspec.Struct, frozen=True):
    """A message from a server; without an `id` of its own, sending it again says it again."""

    content: str
    sender: str = msgspec.field(name="from", default="system")
    id: str = ""

    def draft(self) -> Draft:
        return Draft(
            checked_user(self.sender),
            checked_id(self.id or secrets.token_urlsafe(12)),
            checked_content(self.content),
        )


class Sent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message in its place."""

    status: str
    seq: int
    id: str
    room: str | None = None
    user_id: str | None = None


@endpoint(bp, "POST", "api/rooms/{room}/message", Access.KEY)
async def room_message(req: func.HttpRequest, body: ServerMessage) -> Sent:
    """Say something in a room; answered when it is kept and sent."""
    room = checked_room(req.route_params["room"])
    kept = await history().keep(room, body.draft())
    return Sent("sent", kept.entry.seq, kept.entry.id, room=room)


@endpoint(bp, "POST", "api/user/{user_id}/message", Access.KEY)
async def user_message(req: func.HttpRequest, body: ServerMessage) -> Sent:
    """Say something to one person; it waits in their history when they are away."""
    user = checked_user(req.route_params["user_id"])
    draft = body.draft()
    if draft.sender == user:
        raise Refused("direct_to_self", "A direct message goes to somebody else.")
    await people().introduce(draft.sender, user)
    kept = await history().keep(channels.conversation(draft.sender, user), draft)
    return Sent("sent", kept.entry.seq, kept.entry.id, user_id=user)


class Audience(msgspec.Struct, frozen=True):
    """Who hears what is published: a group, a person, or with neither everyone."""

    group: str | None = None
    user: str | None = None


class Published(msgspec.Struct, frozen=True):
    status: str
    group: str | None
    user: str | None


@endpoint(bp, "POST", "api/publish", Access.KEY)
async def publish(req: func.HttpRequest, query: Audience, body: dict[str, Any]) -> Published:
    """Send a JSON object as it is to a group, to a person, or to everyone; nothing is kept."""
    if query.group is not None and query.user is not None:
        raise Refused("invalid_request", "Expected a group or a user, not both.")
    if query.group is not None:
        await hub().publish(checked_group(query.group), body)
    elif query.user is not None:
        await hub().tell(checked_user(query.user), body)
    else:
        await hub().broadcast(body)
    return Published("sent", query.group, query.user)


# --- who may come in ------------------------------------------------------------------------


class Shape(msgspec.Struct, frozen=True):
    """What a room is like; into a private one only its members come."""

    private: bool = False


class Room(msgspec.Struct, frozen=True):
    room: str
    private: bool


@endpoint(bp, "PUT", "api/rooms/{room}", Access.KEY)
async def room_make(req: func.HttpRequest, body: Shape) -> Room:
    """Make a room, or open or close the one that is there."""
    room = checked_room(req.route_params["room"])
    await rooms().make(room, private=body.private)
    if body.private:
        await _clear(room)
    return Room(room, body.private)


async def _clear(room: str) -> None:
    """Whoever is in a room that has been closed and is no member goes."""
    roster = await presence().roster(room)
    for user in roster.people:
        if not await rooms().welcomes(room, user):
            await _put_out(room, user)


async def _put_out(room: str, user: str) -> None:
    await hub().remove_user(user, group_of(room))
    await presence().departed(room, user)


class Member(msgspec.Struct, frozen=True):
    room: str
    user_id: str
    member: bool


@endpoint(bp, "PUT DELETE", "api/rooms/{room}/members/{user_id}", Access.KEY)
async def room_member(req: func.HttpRequest) -> Member:
    """Let somebody into a private room, or put them out of it at once."""
    room = checked_room(req.route_params["room"])
    user = checked_user(req.route_params["user_id"])
    if req.method == "PUT":
        await rooms().admit(room, user)
    else:
        await rooms().expel(room, user)
        await _put_out(room, user)
    return Member(room, user, req.method == "PUT")


class Barred(msgspec.Struct, frozen=True):
    user_id: str
    barred: bool


@endpoint(bp, "PUT DELETE", "api/user/{user_id}/bar", Access.KEY)
async def user_bar(req: func.HttpRequest) -> Barred:
    """Keep somebody out, at once and until it is taken back."""
    user = checked_user(req.route_params["user_id"])
    if req.method == "PUT":
        await people().bar(user)
        await hub().disconnect(user, "barred")
    else:
        await people().unbar(user)
    return Barred(user, req.method == "PUT")


# --- what the clock does --------------------------------------------------------------------


@bp.function_name("settle_presence")
@bp.timer_trigger(arg_name="timer", schedule="30 * * * * *")
async def settle_presence(timer: func.TimerRequest) -> None:
    """Each minute: who was announced and who is there are made to agree."""
    corrections = await presence().settle()
    if corrections:
        log.info("presence: %d corrections", corrections)


@bp.function_name("forget_history")
@bp.timer_trigger(arg_name="timer", schedule="0 15 3 * * *")
async def forget_history(timer: func.TimerRequest) -> None:
    """Each night: messages older than HISTORY_DAYS are removed."""
    if settings().history_days:
        removed = await forget(Logs(tables()), datetime.now(UTC), settings().history_days)
        log.info("history: %d messages removed", removed)
