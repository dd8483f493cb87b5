"""An issuer of tokens that we trust: its keys, looked up and cached, and the check of a token."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import jwt

from realtime.messages import Refused

KEYS_LAST = 3600.0
"""Seconds after which keys are looked up anew, so that a withdrawn one is not trusted for long."""

LOOKUP_PAUSE = 60.0
"""Seconds between two look-ups because of a key nobody knows: strangers cannot make us ask."""

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384"]
"""Public keys only: with a shared-key algorithm, a published key would be the signing key."""


class Issuer:
    """One issuer and the audience that its tokens must name.

    Keys come from OpenID Connect discovery (openid.net/specs/openid-connect-discovery-1_0.html).
    """

    def __init__(
        self, issuer: str, audience: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._looked_up: float | None = None
        self._looking = asyncio.Lock()

    async def claims(self, token: str) -> dict[str, Any]:
        """What a token says. Raises Refused `unauthenticated` for any that is not good now."""
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(str(header.get("kid")))
            return jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                options={"require": ["exp", "iss", "aud", "sub"]},
                leeway=60,
            )
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Refused("unauthenticated", "The token is not valid.") from None

    async def _key(self, name: str) -> jwt.PyJWK:
        async with self._looking:
            age = KEYS_LAST if self._looked_up is None else self._clock() - self._looked_up
            if age >= KEYS_LAST or (name not in self._keys and age >= LOOKUP_PAUSE):
                self._looked_up = self._clock()
                self._keys = await self._look_up()
        if name not in self._keys:
            raise Refused("unauthenticated", "The token is signed with an unknown key.")
        return self._keys[name]

    async def _look_up(self) -> dict[str, jwt.PyJWK]:
        import httpx  # only where tokens are checked: the guests' app starts without it

        try:
            async with httpx.AsyncClient(timeout=5) as client:
                discovery = await client.get(
                    self._issuer.rstrip("/") + "/.well-known/openid-configuration"
                )
                keys = await client.get(discovery.raise_for_status().json()["jwks_uri"])
                found = jwt.PyJWKSet.from_dict(keys.raise_for_status().json())
        except (httpx.HTTPError, jwt.PyJWTError, KeyError, TypeError, ValueError):
            if self._keys:
                return self._keys
            self._looked_up = None
            raise Refused("unavailable", "The issuer's keys cannot be read; try again.") from None
        return {key.key_id: key for key in found.keys if key.key_id}
