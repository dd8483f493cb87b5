"""What a client brings along when it knocks at the door: token, subprotocols, query, headers."""

from collections.abc import Mapping, Sequence
from typing import Any

from multidict import MultiMapping

from webpubsub_emulator.client_messages import RawMode
from webpubsub_emulator.cloud_events import Offer
from webpubsub_emulator.names import is_group
from webpubsub_emulator.protocol import SUBPROTOCOLS
from webpubsub_emulator.tokens import bearer

_TOKEN = "access_token"  # noqa: S105 - the name of the parameter


def token(query: MultiMapping[str], headers: MultiMapping[str]) -> str:
    """The query comes first, since a browser can use nothing else."""
    for name, value in query.items():
        if name.lower() == _TOKEN:
            return value
    return bearer(headers.get("Authorization", ""))


def offered(headers: MultiMapping[str]) -> list[str]:
    """The subprotocols that the client would speak, in its order."""
    lines = headers.getall("Sec-WebSocket-Protocol", [])
    return [name.strip() for line in lines for name in line.split(",") if name.strip()]


def chosen(names: Sequence[str]) -> str | None:
    """The first that the service knows, in the client's spelling; none makes a raw client."""
    return next((name for name in names if name.lower() in SUBPROTOCOLS), None)


def raw_mode(query: MultiMapping[str]) -> RawMode:
    """Read webpubsub_mode, group and noEcho; of repeated parameters the last one counts."""
    given = {name.lower(): value for name, value in query.items()}
    mode = given.get("webpubsub_mode", "").lower()
    if mode in ("", "sendevent"):
        return RawMode()
    group, no_echo = given.get("group", ""), given.get("noecho", "false").lower()
    if mode != "sendtogroup" or not is_group(group) or no_echo not in ("true", "false"):
        raise ValueError("webpubsub_mode, group or noEcho is not valid")
    return RawMode(group, no_echo=no_echo == "true")


def offer(claims: Mapping[str, Any], query: MultiMapping[str], headers: MultiMapping[str]) -> Offer:
    """All of it that the application may see: everything but the token."""
    return Offer(
        claims,
        _without(_TOKEN, query),
        _without("authorization", headers),
        offered(headers),
    )


def _without(secret: str, pairs: MultiMapping[str]) -> dict[str, list[str]]:
    names = dict.fromkeys(name for name in pairs if name.lower() != secret)
    return {name: pairs.getall(name) for name in names}
