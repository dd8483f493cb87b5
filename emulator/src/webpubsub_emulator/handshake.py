"""What a client sends with its upgrade request: token, subprotocols, query and headers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from multidict import MultiMapping

from webpubsub_emulator.client_messages import RawMode
from webpubsub_emulator.cloud_events import ConnectRequest
from webpubsub_emulator.names import is_valid_group
from webpubsub_emulator.protocol import SUBPROTOCOLS
from webpubsub_emulator.tokens import parse_bearer

_TOKEN_PARAMETER = "access_token"  # noqa: S105 - the name of the parameter
_INTERNAL_HEADER_PREFIX = "x-asrs-internal-"


def read_token(query: MultiMapping[str], headers: MultiMapping[str]) -> str:
    """Return the token of the query, which is all that a browser can send, or of the header."""
    for name, value in query.items():
        if name.lower() == _TOKEN_PARAMETER:
            return value
    return parse_bearer(headers.get("Authorization", ""))


def read_subprotocols(headers: MultiMapping[str]) -> list[str]:
    """Return the subprotocols that the client offers, in its order."""
    lines = headers.getall("Sec-WebSocket-Protocol", [])
    return [name.strip() for line in lines for name in line.split(",") if name.strip()]


def select_subprotocol(names: Sequence[str]) -> str | None:
    """Return the first supported one in the client's spelling; None makes a raw client."""
    return next((name for name in names if name.lower() in SUBPROTOCOLS), None)


def read_raw_mode(query: MultiMapping[str]) -> RawMode:
    """Read webpubsub_mode, group and noEcho; of repeated parameters the last one counts."""
    given = {name.lower(): value for name, value in query.items()}
    mode = given.get("webpubsub_mode", "").lower()
    if mode in ("", "sendevent"):
        return RawMode()
    group, no_echo = given.get("group", ""), given.get("noecho", "false").lower()
    if mode != "sendtogroup" or not is_valid_group(group) or no_echo not in ("true", "false"):
        raise ValueError("webpubsub_mode, group or noEcho is not valid")
    return RawMode(group, no_echo=no_echo == "true")


def build_connect_request(
    claims: Mapping[str, Any], query: MultiMapping[str], headers: MultiMapping[str]
) -> ConnectRequest:
    """Return what the connect event shows: everything but the token and internal headers."""
    return ConnectRequest(
        claims,
        _select(query, lambda name: name != _TOKEN_PARAMETER),
        _select(headers, _is_public_header),
        read_subprotocols(headers),
    )


def _is_public_header(name: str) -> bool:
    return name != "authorization" and not name.startswith(_INTERNAL_HEADER_PREFIX)


def _select(pairs: MultiMapping[str], is_selected: Callable[[str], bool]) -> dict[str, list[str]]:
    names = dict.fromkeys(name for name in pairs if is_selected(name.lower()))
    return {name: pairs.getall(name) for name in names}
