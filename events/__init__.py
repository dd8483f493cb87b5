"""What happens when somebody speaks: Web PubSub's webhook, and what a server says over REST."""

import logging
import secrets
from typing import Any

import azure.functions as func
import msgspec

from events.webhook import Answer, Webhook
from realtime import channels
from realtime.answers import answering, body, json, nothing
from realtime.channels import checked_id, checked_room, checked_user, group_of
from realtime.history import Draft, Kept, history
from realtime.hub import hub
from realtime.messages import Refused, checked_content
from realtime.people import people
from realtime.presence import presence
from realtime.rooms import rooms
from realtime.settings import settings

bp = func.Blueprint()
webhook = Webhook()
log = logging.getLogger(__name__)

KEY = func.AuthLevel.FUNCTION


@bp.function_name("pubsub_events")
@bp.route("api/pubsub/events", methods=["OPTIONS", "POST"], auth_level=KEY)
@answering
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


@bp.function_name("room_message")
@bp.route("api/rooms/{room}/message", methods=["POST"], auth_level=KEY)
@answering
async def room_message(req: func.HttpRequest) -> func.HttpResponse:
    """Say something in a room; answered when it is kept and sent."""
    room = checked_room(req.route_params["room"])
    kept = await history().keep(room, body(req, ServerMessage).draft())
    return json(_sent(kept, room=room))


@bp.function_name("user_message")
@bp.route("api/user/{user_id}/message", methods=["POST"], auth_level=KEY)
@answering
async def user_message(req: func.HttpRequest) -> func.HttpResponse:
    """Say something to one person; it waits in their history when they are away."""
    user = checked_user(req.route_params["user_id"])
    draft = body(req, ServerMessage).draft()
    if draft.sender == user:
        raise Refused("direct_to_self", "A direct message goes to somebody else.")
    await people().introduce(draft.sender, user)
    kept = await history().keep(channels.conversation(draft.sender, user), draft)
    return json(_sent(kept, user_id=user))


def _sent(kept: Kept, **where: str) -> dict[str, Any]:
    return {"status": "sent", **where, "seq": kept.entry.seq, "id": kept.entry.id}


@bp.function_name("publish")
@bp.route("api/publish", methods=["POST"], auth_level=KEY)
@answering
async def publish(req: func.HttpRequest) -> func.HttpResponse:
    """Send a JSON object as it is to a group, to a person, or to everyone; nothing is kept."""
    message = body(req, dict[str, Any])
    group, user = req.params.get("group"), req.params.get("user")
    if group and user:
        raise Refused("invalid_request", "Expected a group or a user, not both.")
    if group:
        room = channels.room_of(group)
        await hub().publish(group_of(checked_room(room)) if room else checked_room(group), message)
    elif user:
        await hub().tell(checked_user(user), message)
    else:
        await hub().broadcast(message)
    return json({"status": "sent", "group": group, "user": user})


# --- who may come in ------------------------------------------------------------------------


class RoomShape(msgspec.Struct, frozen=True):
    private: bool = False


@bp.function_name("room_make")
@bp.route("api/rooms/{room}", methods=["PUT"], auth_level=KEY)
@answering
async def room_make(req: func.HttpRequest) -> func.HttpResponse:
    """Make a room, or open or close the one that is there."""
    room = checked_room(req.route_params["room"])
    private = body(req, RoomShape).private
    await rooms().make(room, private=private)
    return json({"room": room, "private": private})


@bp.function_name("room_member")
@bp.route("api/rooms/{room}/members/{user_id}", methods=["PUT", "DELETE"], auth_level=KEY)
@answering
async def room_member(req: func.HttpRequest) -> func.HttpResponse:
    """Let somebody into a private room, or put them out of it at once."""
    room = checked_room(req.route_params["room"])
    user = checked_user(req.route_params["user_id"])
    if req.method == "PUT":
        await rooms().admit(room, user)
    else:
        await rooms().expel(room, user)
        await hub().remove_user(user, group_of(room))
        await presence().departed(room, user)
    return json({"room": room, "user_id": user, "member": req.method == "PUT"})


@bp.function_name("user_bar")
@bp.route("api/user/{user_id}/bar", methods=["PUT", "DELETE"], auth_level=KEY)
@answering
async def user_bar(req: func.HttpRequest) -> func.HttpResponse:
    """Keep somebody out, at once and until it is taken back."""
    user = checked_user(req.route_params["user_id"])
    if req.method == "PUT":
        await people().bar(user)
        await hub().disconnect(user, "barred")
    else:
        await people().unbar(user)
    return json({"user_id": user, "barred": req.method == "PUT"})


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
        removed = await history().forget(settings().history_days)
        log.info("history: %d messages removed", removed)
