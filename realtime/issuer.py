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

AWAY_PAUSE = 5.0
"""Seconds for which an issuer that did not answer is left in peace."""

PATIENCE = 5.0
"""How many seconds a look-up may take."""

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384"]
"""Public keys only: with a shared-key algorithm, a published key would be the signing key."""

Keys = dict[str, jwt.PyJWK]


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
        self._keys: Keys = {}
        self._fresh_until = self._ask_again = clock()
        self._looking = asyncio.Lock()

    async def claims(self, token: str) -> dict[str, Any]:
        """What a token says. Raises Refused `unauthenticated` for any that is not good now."""
        try:
            name = jwt.get_unverified_header(token).get("kid", "")
            return jwt.decode(
                token,
                await self._key(name),
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                options={"require": ["exp", "iss", "aud", "sub"]},
                leeway=60,
            )
        except (jwt.PyJWTError, ValueError, ArithmeticError, RecursionError):
            raise Refused("unauthenticated", "The token is not valid.") from None

    async def _key(self, name: str) -> jwt.PyJWK:
        if name not in self._keys or self._clock() >= self._fresh_until:
            await self._refresh(name)
        if name not in self._keys:
            raise Refused("unauthenticated", "The token is signed with an unknown key.")
        return self._keys[name]

    async def _refresh(self, name: str) -> None:
        """Look the keys up, one caller for all. While the issuer is away, known keys still serve."""
        async with self._looking:
            known = name in self._keys and self._clock() < self._fresh_until
            if known or self._clock() < self._ask_again:
                return self._away_without_keys()
            try:
                self._keys = await self._look_up()
                self._fresh_until = self._clock() + KEYS_LAST
                self._ask_again = self._clock() + LOOKUP_PAUSE
            except _LookUpError:
                self._ask_again = self._clock() + AWAY_PAUSE
            self._away_without_keys()

    def _away_without_keys(self) -> None:
        if not self._keys:
            wait = int(AWAY_PAUSE * 1000)
            raise Refused("unavailable", "The issuer's keys cannot be read.", retry_after_ms=wait)

    async def _look_up(self) -> Keys:
        import httpx  # only where tokens are checked: the guests' app starts without it

        address = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            async with asyncio.timeout(PATIENCE), httpx.AsyncClient() as client:
                discovery = (await client.get(address)).raise_for_status().json()
                if discovery["issuer"] != self._issuer:
                    raise _LookUpError
                keys = (await client.get(discovery["jwks_uri"])).raise_for_status().json()
            found = jwt.PyJWKSet.from_dict(keys)
        except (httpx.HTTPError, httpx.InvalidURL, jwt.PyJWTError, *_MALFORMED) as error:
            raise _LookUpError from error
        return {key.key_id: key for key in found.keys if key.key_id}


class _LookUpError(Exception):
    """The keys could not be had."""


_MALFORMED = (AttributeError, KeyError, TypeError, ValueError, TimeoutError, RecursionError)
"""What reading a document that is not as it should be may raise."""
