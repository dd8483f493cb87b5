"""Guests: anyone may enter with a name; a signed session proves the identity from then on."""

import secrets
from collections.abc import Mapping

from realtime.identity.caller import Caller, bearer_token, to_ascii_name
from realtime.identity.sessions import sign_session, verify_session

SUFFIX_LENGTH = 8

_SUFFIX_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # without l, o, 0 and 1: easy to read aloud


class Guest:
    """The provider for IDENTITY=guest."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        session = bearer_token(headers)
        return Caller(verify_session(session, self._secret), session)

    async def authenticate_or_create(self, headers: Mapping[str, str], name: str) -> Caller:
        if "authorization" in headers:
            user_id = (await self.authenticate(headers)).user_id
            return Caller(user_id, sign_session(user_id, self._secret))
        suffix = "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(SUFFIX_LENGTH))
        user_id = f"{to_ascii_name(name, 'guest')}-{suffix}"
        return Caller(user_id, sign_session(user_id, self._secret), authenticated=False)
