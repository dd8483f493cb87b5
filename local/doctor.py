"""Looks at a configuration, of this desk or deployed, and says what is wrong with it.

    python -m local.doctor                 this desk: local.settings.json and the started parts
    python -m local.doctor --url URL       an app anywhere, from outside
                           --key KEY       its function key, so that the webhook can be asked too
                           --token TOKEN   who you are, where guests may not come in
                           --json          for programs

One line for each check; the exit code is 1 when something is wrong.
"""

import argparse
import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from local.parts import ROOT
from realtime.azure.tables import connect_tables
from realtime.azure.web_pubsub import connect_hub
from realtime.settings import InvalidSettingsError, Settings

PATIENCE = 10.0
"""Seconds that one check may take."""

SKEW = 60.0
"""Seconds that two clocks may differ: tokens are valid from the moment of their making on."""

SUBPROTOCOL = "json.reliable.webpubsub.azure.v1"
WHERE = (
    "Set it in the function app's application settings, or on one desk under Values in "
    "local.settings.json."
)


class Wrong(Exception):  # noqa: N818 - it reads as what it says
    """What is wrong, in one sentence that says what was expected."""


class Unseen(Exception):  # noqa: N818
    """A check that could not be made, and what it would need."""


@dataclass(frozen=True)
class Finding:
    """`state` is ok, wrong or unseen."""

    check: str
    state: str
    says: str


@dataclass
class Visit:
    """One look at one app: where it is, and what has been learned on the way."""

    url: str
    http: aiohttp.ClientSession
    key: str = ""
    token: str = ""
    settings: Settings | None = None
    patience: float = PATIENCE
    admission: dict[str, Any] = field(default_factory=dict)

    async def ask(
        self, method: str, path: str, **options: Any
    ) -> tuple[int, Mapping[str, str], Any]:
        """Status, headers and body of an answer of the app. Raises Wrong where nobody answers."""
        try:
            async with self.http.request(method, self.url + path, **options) as answer:
                is_json = answer.content_type == "application/json"
                body = await answer.json() if is_json else await answer.text()
                return answer.status, answer.headers, body
        except aiohttp.ClientError as error:
            raise Wrong(
                f"Nobody answers at {self.url} ({type(error).__name__}); expected the app. "
                "Is it started (make start), is the address right (--url)?"
            ) from None

    def bearer(self) -> dict[str, str]:
        session = self.admission.get("session") or self.token
        return {"Authorization": f"Bearer {session}"} if session else {}


# --- what the settings lead to ----------------------------------------------------------------


async def check_tables(visit: Visit) -> str:
    """A row is written, and taken away again."""
    chosen = _own_settings(visit)
    name = "TABLES_CONNECTION_STRING" if chosen.tables_connection_string else "TABLES_ENDPOINT"
    with_row = {"PartitionKey": ":doctor", "RowKey": secrets.token_hex(8)}
    async with _service(visit, name, lambda: connect_tables(chosen)) as service:
        table = service.open("bans")
        await table.upsert_entity(with_row)
        await table.delete_entity(with_row["PartitionKey"], with_row["RowKey"])
    return "a row was written and taken away again"


async def check_webpubsub(visit: Visit) -> str:
    """The service is asked something that needs our credential."""
    chosen = _own_settings(visit)
    by_key = bool(chosen.webpubsub_connection_string)
    name = "WEBPUBSUB_CONNECTION_STRING" if by_key else "WEBPUBSUB_ENDPOINT"
    async with _service(visit, name, lambda: connect_hub(chosen)) as service:
        await service.ping()
        return f"{service.host} takes our credential for the hub {chosen.webpubsub_hub}"


def _own_settings(visit: Visit) -> Settings:
    if visit.settings is None:
        raise Unseen("only the app itself knows its settings; its health is looked at instead")
    return visit.settings


@asynccontextmanager
async def _service(visit: Visit, name: str, connect: Callable[[], Any]) -> AsyncIterator[Any]:
    """A client made from the setting of that name; every failure becomes a sentence about it."""
    try:
        client = connect()
    except (ValueError, KeyError, IndexError) as error:
        problem = str(error).strip("'\"")
        raise Wrong(f"{name} cannot be read: {problem}. {_expected(name)} {WHERE}") from None
    try:
        async with asyncio.timeout(visit.patience):
            yield client
    except ClientAuthenticationError as error:
        raise Wrong(f"The credential of {name} is refused. {_expected(name)} {WHERE}") from error
    except HttpResponseError as error:
        refused = error.status_code in {401, 403}
        what = "refuses our credential" if refused else f"answers {error.status_code}"
        raise Wrong(f"What {name} names {what}. {_expected(name)} {WHERE}") from None
    except (AzureError, TimeoutError) as error:
        raise Wrong(
            f"What {name} names does not answer ({type(error).__name__}). Is it started "
            f"(make start), is the address right? {_expected(name)} {WHERE}"
        ) from None
    finally:
        await client.close()


def _expected(name: str) -> str:
    return {
        "WEBPUBSUB_CONNECTION_STRING": (
            "Expected Endpoint=https://<name>.webpubsub.azure.com;AccessKey=...;Version=1.0;"
        ),
        "WEBPUBSUB_ENDPOINT": (
            "Expected https://<name>.webpubsub.azure.com, and the role Web PubSub Service Owner."
        ),
        "TABLES_CONNECTION_STRING": (
            "Expected AccountName=...;AccountKey=...; and an address of the table service."
        ),
        "TABLES_ENDPOINT": (
            "Expected https://<name>.table.core.windows.net, and the role Storage Table Data "
            "Contributor."
        ),
    }[name]


# --- what the app does ------------------------------------------------------------------------


async def check_app(visit: Visit) -> str:
    """The app is asked how it is."""
    status, _, report = await visit.ask("GET", "/api/health")
    if not isinstance(report, dict) or "status" not in report:
        code = report.get("error", {}).get("message", "") if isinstance(report, dict) else ""
        raise Wrong(f"/api/health answers {status} {code}; expected 200. Is {visit.url} the app?")
    headers = {"x-functions-key": visit.key} if visit.key else {}
    _, _, details = await visit.ask("GET", "/api/health/details", headers=headers)
    checks = details.get("checks", {}) if isinstance(details, dict) else {}
    down = [name for name, state in checks.items() if state == "down"]
    if report["status"] != "ok" and not down:
        raise Wrong(f"The app does not reach its tables or Web PubSub. Its log says which. {WHERE}")
    if down:
        settings = {"tables": "TABLES_*", "webpubsub": "WEBPUBSUB_*"}
        names = " and ".join(settings.get(one, one) for one in down)
        raise Wrong(f"The app does not reach {' and '.join(down)}. Look at its {names}. {WHERE}")
    return f"well; {len(checks['streams'])} streams" if checks else "well"


async def check_clock(visit: Visit) -> str:
    """The clock of the app's machine and ours are compared."""
    _, headers, _ = await visit.ask("GET", "/api/health")
    if "Date" not in headers:
        raise Unseen("the answer carries no date")
    skew = abs((datetime.now(UTC) - parsedate_to_datetime(headers["Date"])).total_seconds())
    if skew > SKEW:
        raise Wrong(
            f"This clock and the app's differ by {skew:.0f} s; expected less than {SKEW:.0f} s, "
            "else tokens are refused. Set the clock of the machine (NTP)."
        )
    return f"{skew:.0f} s apart"


async def check_entry(visit: Visit) -> str:
    """Somebody new comes in, as the page does it."""
    body = {"user_id": "doctor", "room": _room()}
    status, _, answer = await visit.ask("POST", "/api/negotiate", json=body, headers=visit.bearer())
    if status == 401 and not visit.token:
        raise Unseen("guests may not come in here; give --token with a token of the issuer")
    if status != 200:
        raise Wrong(f"/api/negotiate answers {status}: {_reason(answer)}")
    visit.admission = answer
    return f"came in as {answer['user_id']}"


async def check_webhook(visit: Visit) -> str:
    """The webhook is asked to consent, as Web PubSub asks it."""
    origin = urlsplit(_admitted(visit)["url"]).hostname or ""
    headers = {"WebHook-Request-Origin": origin}
    if visit.key:
        headers["x-functions-key"] = visit.key
    status, answered, body = await visit.ask("OPTIONS", "/api/pubsub/events", headers=headers)
    if status == 401:
        raise Unseen("the webhook asks for the function key; give --key to look at it")
    allowed = answered.get("WebHook-Allowed-Origin", "")
    if status >= 300 or allowed.lower() not in {"*", origin.lower()}:
        raise Wrong(
            f"The webhook answers {status} and lets {allowed or 'nobody'} send events; expected "
            f"204 and {origin}. {_reason(body)}"
        )
    return f"consents to events from {allowed}"


async def check_conversation(visit: Visit) -> str:
    """Connect, join, say something, hear it, and find it in the history."""
    admission = _admitted(visit)
    room, said = admission["room"], secrets.token_hex(8)
    talk = Talk(await _connect(visit, admission["url"]))
    try:
        await talk.say("join", {"room": room})
        began = time.monotonic()
        await talk.say("message", {"room": room, "content": said, "id": said})
        await talk.until(lambda frame: _data(frame).get("id") == said)
        heard = time.monotonic() - began
        await talk.say("leave", {"room": room})
    finally:
        await talk.socket.close()
    path = f"/api/rooms/{room}/history"
    status, _, page = await visit.ask("GET", path, headers=visit.bearer())
    if status != 200 or [one["id"] for one in page["messages"]] != [said]:
        raise Wrong(f"{path} answers {status} without the message that was heard; expected it.")
    return f"said, heard after {heard * 1000:.0f} ms and kept"


def _admitted(visit: Visit) -> dict[str, Any]:
    if not visit.admission:
        raise Unseen("nobody came in")
    return visit.admission


async def _connect(visit: Visit, url: str) -> aiohttp.ClientWebSocketResponse:
    host = urlsplit(url).netloc
    handler = (
        "the hub's event handler does not answer `connect`; look at its address, its key (?code=) "
        "and the app's log"
    )
    try:
        async with asyncio.timeout(visit.patience):
            return await visit.http.ws_connect(url, protocols=[SUBPROTOCOL])
    except TimeoutError:
        raise Wrong(f"Web PubSub ({host}) lets us wait at the door: {handler}.") from None
    except aiohttp.WSServerHandshakeError as error:
        raise Wrong(
            f"Web PubSub ({host}) answers {error.status} instead of connecting. 5xx: {handler}. "
            "401: the app's Web PubSub setting names another service or an old key."
        ) from None
    except aiohttp.ClientError as error:
        raise Wrong(
            f"Web PubSub does not answer at {host} ({type(error).__name__}); expected a WebSocket. "
            "Is it reachable from here, past firewalls and proxies?"
        ) from None


@dataclass
class Talk:
    """One connection, and what was heard on it that nobody has asked for yet."""

    socket: aiohttp.ClientWebSocketResponse
    heard: list[dict[str, Any]] = field(default_factory=list)
    acks: int = 0

    async def say(self, event: str, data: Any) -> None:
        """Send an event and await its acknowledgement; anything refused is told."""
        self.acks += 1
        ack = self.acks
        await self.socket.send_json(
            {"type": "event", "event": event, "ackId": ack, "dataType": "json", "data": data}
        )
        answer = await self.until(
            lambda frame: frame.get("ackId") == ack or _data(frame).get("type") == "error"
        )
        if refused := _data(answer):
            raise Wrong(f"`{event}` is refused: {refused['code']}, {refused['message']}")
        if not answer["success"]:
            raise Wrong(
                f"Web PubSub could not deliver `{event}`: {answer.get('error')}. Expected the hub "
                "to have an event handler for user events *. Set it with infra/hooks/connect_hub.py"
                " or, on one desk, with the emulator's --settings."
            )

    async def until(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first frame that fits, heard already or to come."""
        while not (found := next(filter(fits, self.heard), None)):
            message = await self.socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                code = self.socket.close_code
                raise Wrong(f"Web PubSub closed the connection with code {code}.")
            self.heard.append(message.json())
        self.heard.remove(found)
        return found


def _data(frame: dict[str, Any]) -> dict[str, Any]:
    """What a frame carries from our app, if it is an object."""
    data = frame.get("data")
    return data if isinstance(data, dict) else {}


def _reason(answer: Any) -> str:
    if isinstance(answer, dict) and "error" in answer:
        return f"{answer['error']['code']}, {answer['error']['message']}"
    return str(answer)[:200]


def _room() -> str:
    return f"doctor-{secrets.token_hex(4)}"


# --- the visit --------------------------------------------------------------------------------

CHECKS: dict[str, Callable[[Visit], Awaitable[str]]] = {
    "tables": check_tables,
    "webpubsub": check_webpubsub,
    "app": check_app,
    "clock": check_clock,
    "entry": check_entry,
    "webhook": check_webhook,
    "conversation": check_conversation,
}

OF_THE_SETTINGS = {"tables", "webpubsub"}
"""What can be looked at only where the settings are."""


async def examine(
    url: str,
    environment: Mapping[str, str] | None,
    key: str = "",
    token: str = "",
    patience: float = PATIENCE,
) -> AsyncIterator[Finding]:
    """Every check in turn; with an environment its settings are looked at too."""
    settings = None
    if environment is not None:
        finding, settings = check_settings(environment)
        yield finding
    async with aiohttp.ClientSession() as http:
        visit = Visit(url.rstrip("/"), http, key, token, settings, patience)
        well = True
        for name, check in CHECKS.items():
            if not well:
                yield Finding(name, "unseen", "the app has to be well first")
            elif environment is not None or name not in OF_THE_SETTINGS:
                finding = await _found(name, check(visit), patience)
                well = name != "app" or finding.state == "ok"
                yield finding


def check_settings(environment: Mapping[str, str]) -> tuple[Finding, Settings | None]:
    for name, value in environment.items():
        if value.startswith("@Microsoft.KeyVault("):
            says = f"{name} is a Key Vault reference that was not resolved; expected the secret."
            return Finding("settings", "wrong", says), None
    try:
        settings = Settings.read(environment)
    except InvalidSettingsError as error:
        return Finding("settings", "wrong", str(error)), None
    return Finding("settings", "ok", f"complete; people come in as {settings.identity}"), settings


async def _found(name: str, check: Awaitable[str], patience: float) -> Finding:
    try:
        async with asyncio.timeout(1.5 * patience):  # a service's own sentence comes first
            return Finding(name, "ok", await check)
    except Wrong as problem:
        return Finding(name, "wrong", str(problem))
    except Unseen as reason:
        return Finding(name, "unseen", str(reason))
    except TimeoutError:
        return Finding(
            name, "wrong", f"No answer within {1.5 * patience:.0f} s; expected one at once."
        )


def environment_of_desk(app: Path = ROOT) -> dict[str, str]:
    """The settings as the Functions host has them: the file's Values, and the environment wins."""
    for name in ("local.settings.json", "local.settings.json.example"):
        if (file := app / name).exists():
            values = json.loads(file.read_text(encoding="utf-8-sig")).get("Values", {})
            return {**{key: str(value) for key, value in values.items()}, **os.environ}
    return dict(os.environ)


async def visit(given: argparse.Namespace) -> bool:
    """Whether all is well; every finding is printed as it comes."""
    environment = None if given.url else environment_of_desk()
    url = given.url or "http://localhost:7071"
    findings = []
    async for finding in examine(url, environment, given.key, given.token):
        findings.append(finding)
        if not given.json:
            print(f"{finding.state:7} {finding.check:13} {finding.says}", flush=True)
    if given.json:
        print(json.dumps([asdict(one) for one in findings], indent=2))
    return all(one.state != "wrong" for one in findings)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m local.doctor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", default="", help="default: http://localhost:7071 of this desk")
    parser.add_argument("--key", default="", help="the function key of pubsub_events")
    parser.add_argument("--token", default="", help="a bearer token that says who you are")
    parser.add_argument("--json", action="store_true")
    sys.exit(not asyncio.run(visit(parser.parse_args())))


if __name__ == "__main__":
    main()
