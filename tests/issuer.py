"""An OpenID Connect issuer: discovery document, signing keys, and tokens signed with them."""

import json
import time
from typing import Any, Self

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

AUDIENCE = "api://townsquare"


class OwnIssuer:
    """An issuer that counts requests. It can fail, or name another issuer in its document."""

    def __init__(self) -> None:
        self.keys: dict[str, RSAPrivateKey] = {}
        self.requests = 0
        self.failing = False
        self.url = self.name = ""

    async def __aenter__(self) -> Self:
        self.new_key("first")
        self._server = web.ServerRunner(web.Server(self._respond))
        await self._server.setup()
        site = web.TCPSite(self._server, "127.0.0.1", 0)
        await site.start()
        self.url = self.name = f"http://127.0.0.1:{self._server.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.cleanup()

    def new_key(self, name: str) -> None:
        """Replace the signing key."""
        self.keys = {name: generate_private_key(65537, 2048)}

    def published(self) -> list[dict[str, Any]]:
        return [
            json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": name}
            for name, key in self.keys.items()
        ]

    async def _respond(self, request: web.BaseRequest) -> web.Response:
        if self.failing:
            return web.Response(status=500)
        if request.path == "/.well-known/openid-configuration":
            self.requests += 1
            return web.json_response({"issuer": self.name, "jwks_uri": f"{self.url}/keys"})
        return web.json_response({"keys": self.published()})

    def token(self, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A valid token with these claims and headers changed; a claim of None is left out."""
        name, key = next(iter(self.keys.items()))
        now = int(time.time())
        valid = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 600}
        merged = {name: value for name, value in (valid | claims).items() if value is not None}
        return jwt.encode(merged, key, algorithm="RS256", headers={"kid": name, **(headers or {})})
