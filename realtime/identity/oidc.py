"""OpenID Connect: verifies tokens with the issuer's keys, which are read and cached."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jwt

from realtime.errors import ApiError
from realtime.identity.caller import Caller, account_caller, bearer_token

KEYS_CACHE_SECONDS = 3600.0
"""Keys are read again after this time, so that a withdrawn key is not trusted for long."""

UNKNOWN_KEY_PAUSE_SECONDS = 60.0
"""The shortest time between two reads for unknown keys: callers cannot cause more requests."""

FAILURE_PAUSE_SECONDS = 5.0
"""The shortest time between two reads after one has failed."""

READ_TIMEOUT_SECONDS = 5.0

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384"]
"""Asymmetric ones only: with HS256 the published key would be the signing key."""

Keys = dict[str, jwt.PyJWK]

log = logging.getLogger(__name__)


class Issuer:
    """One issuer and the audiences of which its tokens must have one.

    Keys are found by OpenID Connect discovery (openid.net/specs/openid-connect-discovery-1_0.html).
    """

    def __init__(
        self,
        issuer: str,
        audience: str | Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._keys: Keys = {}
        self._token_endpoint = ""
        self._cached_until = self._next_read_at = clock()
        self._reading = asyncio.Lock()

    async def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token. Raises ApiError `unauthenticated`, or `unavailable`."""
        try:
            key_id = jwt.get_unverified_header(token).get("kid", "")
            return jwt.decode(
                token,
                await self._key(key_id),
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                options={"require": ["exp", "iss", "aud", "sub"]},
                leeway=60,
            )
        except (jwt.PyJWTError, ValueError, ArithmeticError, RecursionError):
            raise ApiError("unauthenticated", "The token is not valid.") from None

    async def read_addresses(self) -> list[str]:
        """The URLs that a page calls to sign in: the issuer's and its token endpoint's."""
        async with self._reading:
            now = self._clock()
            if now >= max(self._cached_until, self._next_read_at):
                await self._refresh()
        return [one for one in (self._issuer, self._token_endpoint) if one]

    async def _key(self, key_id: str) -> jwt.PyJWK:
        if self._must_read(key_id):
            async with self._reading:  # one caller reads for all
                if self._must_read(key_id) and self._clock() >= self._next_read_at:
                    await self._refresh()
        if not self._keys:
            wait_ms = int(FAILURE_PAUSE_SECONDS * 1000)
            raise ApiError(
                "unavailable", "The issuer's keys cannot be read.", retry_after_ms=wait_ms
            )
        if key_id not in self._keys:
            raise ApiError("unauthenticated", "The token is signed with an unknown key.")
        return self._keys[key_id]

    def _must_read(self, key_id: str) -> bool:
        return key_id not in self._keys or self._clock() >= self._cached_until

    async def _refresh(self) -> None:
        """Read the keys. While the issuer is unavailable, the cached ones are used."""
        try:
            self._keys = await self._read_keys()
        except _DiscoveryError as error:
            log.warning("the keys of %s cannot be read: %s", self._issuer, error)
            self._next_read_at = self._clock() + FAILURE_PAUSE_SECONDS
        else:
            self._cached_until = self._clock() + KEYS_CACHE_SECONDS
            self._next_read_at = self._clock() + UNKNOWN_KEY_PAUSE_SECONDS

    async def _read_keys(self) -> Keys:
        import httpx  # only where tokens are verified: guests do not need it

        address = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS), httpx.AsyncClient() as client:
                discovery = (await client.get(address)).raise_for_status().json()
                if discovery["issuer"] != self._issuer:
                    raise _DiscoveryError(f"its document names the issuer {discovery['issuer']}")
                keys = (await client.get(discovery["jwks_uri"])).raise_for_status().json()
            found = jwt.PyJWKSet.from_dict(keys)
            self._token_endpoint = str(discovery.get("token_endpoint", ""))
        except (httpx.HTTPError, httpx.InvalidURL, jwt.PyJWTError, *_MALFORMED) as error:
            raise _DiscoveryError(type(error).__name__) from error
        return {key.key_id: key for key in found.keys if key.key_id}


class Issuers:
    """Several issuers with the same audiences; a token is verified by the one that it names."""

    def __init__(self, issuers: Sequence[str], audiences: Sequence[str]) -> None:
        self._issuers = {one: Issuer(one, audiences) for one in issuers}

    async def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token. Raises ApiError `unauthenticated`, or `unavailable`."""
        try:
            named = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except (jwt.PyJWTError, ValueError, ArithmeticError, RecursionError):
            named = None
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            raise ApiError("unauthenticated", "The token is of another issuer.")
        return await issuer.verify(token)


class _DiscoveryError(Exception):
    """The keys could not be read."""


_MALFORMED = (AttributeError, KeyError, TypeError, ValueError, TimeoutError, RecursionError)
"""What parsing a malformed document may raise."""


class OpenIdConnect:
    """The provider for IDENTITY=oidc: a bearer token of the issuer."""

    def __init__(self, issuer: str, audience: str) -> None:
        self._issuer_name = issuer
        self._issuer = Issuer(issuer, audience)

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        claims = await self._issuer.verify(bearer_token(headers))
        name = claims.get("name") or claims.get("preferred_username") or ""
        return account_caller(self._issuer_name, str(claims["sub"]), str(name).partition("@")[0])

    async def sign_in_addresses(self) -> list[str]:
        """The URLs that a page calls to sign in."""
        return await self._issuer.read_addresses()

    async def authenticate_or_create(
        self,
        headers: Mapping[str, str],
        name: str,  # noqa: ARG002 - an account has its own name
    ) -> Caller:
        return await self.authenticate(headers)
