"""What the checks cost: a message with all of its checks, beside one without any.

Both run in one process, with the same emulator and the same Azurite. With checks, a message begins
as the webhook receives it, with signed headers; without, it is only stored and published. They
take turns. The checks may cost 10 % of a message in an open room, and 15 % in a private one.
"""

import hashlib
import hmac
import json
import os
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from benchmarks.servers import stack
from benchmarks.table import Row
from events import cloudevents
from events.webhook import WebhookResponse, handle_event
from local.parts import ACCESS_KEY, HUB
from realtime.azure.tables import tables
from realtime.azure.web_pubsub import hub
from realtime.rooms.administration import Actor, administration
from realtime.rooms.appender import appender
from realtime.rooms.drafts import MessageDraft
from realtime.settings import LOCAL_SECRET
from realtime.users.audit import audit_log

MESSAGES = 400
CHECKS = 5000
USER = "ann-22222222"
CONNECTION = uuid.uuid4().hex
SIGNATURE = hmac.new(ACCESS_KEY.encode(), CONNECTION.encode(), hashlib.sha256).hexdigest()
CONTENT = "Hello, everybody."

Act = Callable[[str], Awaitable[object]]


async def run() -> list[Row]:
    with stack() as ours:
        os.environ.update({**ours.environment, "SESSION_SECRET": LOCAL_SECRET})
        try:
            return await measured()
        finally:
            await hub().close()
            await tables().close()


async def measured() -> list[Row]:
    server = Actor(None, partial(audit_log().add, "key"))
    checked, private, unchecked = (f"checks-{uuid.uuid4().hex[:8]}" for _ in range(3))
    await administration().change_role(private, server, USER, "member")
    await administration().change_settings(private, server, private=True)
    with_all, among_members, without = await by_turns(
        [
            lambda number: say(checked, number),
            lambda number: say(private, number),
            lambda number: appender().append(
                unchecked, MessageDraft(USER, number, content=CONTENT)
            ),
        ]
    )
    alone = await one_after_another(lambda number: say(checked, number, "typing"))
    return [
        Row("a message with all checks: p50", with_all, "ms", without, "none"),
        Row(
            "  in a private room: p50",
            among_members,
            "ms",
            without,
            "none",
        ),
        Row("  the checks without I/O", alone, "ms", without, "a message"),
    ]


async def say(room: str, number: str, name: str = "message") -> WebhookResponse:
    """An event as the service delivers it; header names come in lower case, as from the host."""
    state = cloudevents.state_header((room,)).values()
    headers = {
        "content-type": "application/json",
        "ce-type": f"azure.webpubsub.user.{name}",
        "ce-id": f"{name}-{room}-{number}",
        "ce-time": datetime.now(UTC).isoformat(),
        "ce-signature": f"sha256={SIGNATURE}",
        "ce-userid": USER,
        "ce-connectionid": CONNECTION,
        "ce-connectionstate": "".join(state),
        "ce-hub": HUB,
    }
    said = {"room": room, "content": CONTENT, "id": number}
    answer = await handle_event(headers, json.dumps(said).encode())
    assert not answer.body, answer.body
    return answer


async def by_turns(acts: Sequence[Act]) -> list[float]:
    """The median of each, in ms. They take turns, so that other load affects all of them."""
    times: list[list[float]] = [[] for _ in acts]
    for number in range(MESSAGES):
        for act, taken in zip(acts, times, strict=True):
            began = time.perf_counter()
            await act(str(number))
            taken.append(time.perf_counter() - began)
    return [statistics.median(taken) * 1000 for taken in times]


async def one_after_another(act: Act) -> float:
    """Milliseconds for each of many events; `typing` over its limit has no effect."""
    await act("first")
    began = time.perf_counter()
    for number in range(CHECKS):
        await act(str(number))
    return (time.perf_counter() - began) / CHECKS * 1000
