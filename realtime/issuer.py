"""An issuer of tokens that we trust: its keys, looked up and cached, and the check of a token."""

import asyncio
import logging
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

log = logging.getLogger(__name__)


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
        if self._outdated(name):
            async with self._looking:  # one caller asks for all
                if self._outdated(name) and self._clock() >= self._ask_again:
                    await self._refresh()
        if not self._keys:
            wait = int(AWAY_PAUSE * 1000)
            raise Refused("unavailable", "The issuer's keys cannot be read.", retry_after_ms=wait)
        if name not in self._keys:
            raise Refused("unauthenticated", "The token is signed with an unknown key.")
        return self._keys[name]

    def _outdated(self, name: str) -> bool:
        return name not in self._keys or self._clock() >= self._fresh_until

    async def _refresh(self) -> None:
        """Look the keys up. While the issuer is away, those we have still serve."""
        try:
            self._keys = await self._look_up()
        except _LookUpError as error:
            log.warning("the keys of %s cannot be read: %s", self._issuer, error)
            self._ask_again = self._clock() + AWAY_PAUSE
        else:
            self._fresh_until = self._clock() + KEYS_LAST
            self._ask_again = self._clock() + LOOKUP_PAUSE

    async def _look_up(self) -> Keys:
        import httpx  # only where tokens are checked: the guests' app starts without it

        address = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            async with asyncio.timeout(PATIENCE), httpx.AsyncClient() as client:
                discovery = (await client.get(address)).raise_for_status().json()
                if discovery["issuer"] != self._issuer:
                    raise _LookUpError(f"it calls itself {discovery['issuer']}")
                keys = (await client.get(discovery["jwks_uri"])).raise_for_status().json()
            found = jwt.PyJWKSet.from_dict(keys)
        except (httpx.HTTPError, httpx.InvalidURL, jwt.PyJWTError, *_MALFORMED) as error:
            raise _LookUpError(type(error).__name__) from error
        return {key.key_id: key for key in found.keys if key.key_id}


class _LookUpError(Exception):
    """The keys could not be had."""


_MALFORMED = (AttributeError, KeyError, TypeError, ValueError, TimeoutError, RecursionError)
"""What reading a document that is not as it should be may raise."""
