"""Sessions of ours: guests, who enter with a name, and users for whom a server vouches."""

import secrets
from collections.abc import Mapping

from realtime.identity.caller import Caller, bearer_token, to_ascii_name
from realtime.identity.display_names import clean_display_name
from realtime.identity.sessions import Session, SessionSigner

SUFFIX_LENGTH = 8

DEFAULT_NAME = "guest"

_SUFFIX_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # without l, o, 0 and 1: easy to read aloud


class Guest:
    """The provider for IDENTITY=guest."""

    def __init__(self, signer: SessionSigner) -> None:
        self._signer = signer

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        return _make_caller(self._signer.verify(bearer_token(headers)))

    async def authenticate_or_create(self, headers: Mapping[str, str], name: str) -> Caller:
        if "authorization" in headers:
            return await self.authenticate(headers)
        suffix = "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(SUFFIX_LENGTH))
        display_name = clean_display_name(name, DEFAULT_NAME)
        user_id = f"{to_ascii_name(display_name, DEFAULT_NAME)}-{suffix}"
        return _make_caller(self._signer.begin(user_id, display_name), is_new=True)


def _make_caller(session: Session, *, is_new: bool = False) -> Caller:
    return Caller(session.user_id, session.name, session, is_new=is_new)
