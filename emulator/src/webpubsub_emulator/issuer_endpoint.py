"""The local issuer over HTTP, at the paths of Microsoft Entra ID."""

import json

from aiohttp import web

from webpubsub_emulator.entra import TOKEN_LIFETIME_SECONDS, LocalIssuer

_DEFAULT_SCOPE_SUFFIX = "/.default"


class IssuerEndpoint:
    """Discovery document, keys, and the token endpoint with the client credentials grant.

    Any client id and secret are accepted: the point is the shape of the tokens.
    """

    def __init__(self, issuer: LocalIssuer) -> None:
        self._issuer = issuer

    def add_routes(self, router: web.UrlDispatcher) -> None:
        tenant = f"/{self._issuer.tenant_id}"
        for version in ("", "/v2.0"):
            router.add_get(
                f"{tenant}{version}/.well-known/openid-configuration", self._get_discovery
            )
        router.add_get(f"{tenant}/discovery/v2.0/keys", self._get_keys)
        router.add_post(f"{tenant}/oauth2/v2.0/token", self._create_token)

    async def _get_discovery(self, _: web.Request) -> web.Response:
        return web.json_response(self._issuer.discovery_document())

    async def _get_keys(self, _: web.Request) -> web.Response:
        return web.json_response(self._issuer.key_set())

    async def _create_token(self, request: web.Request) -> web.Response:
        form = await request.post()
        scope, client_id = form.get("scope"), form.get("client_id")
        if form.get("grant_type") != "client_credentials":
            return _error("unsupported_grant_type", "Only client_credentials is supported.")
        if not isinstance(scope, str) or not scope.endswith(_DEFAULT_SCOPE_SUFFIX):
            return _error("invalid_scope", "The scope does not end in /.default.")
        if not isinstance(client_id, str) or not client_id:
            return _error("invalid_client", "client_id is missing.")
        audience = scope.removesuffix(_DEFAULT_SCOPE_SUFFIX)
        token = self._issuer.issue(audience, subject=client_id)
        return web.json_response(
            {
                "token_type": "Bearer",
                "expires_in": TOKEN_LIFETIME_SECONDS,
                "ext_expires_in": TOKEN_LIFETIME_SECONDS,
                "access_token": token,
            }
        )


def _error(code: str, description: str) -> web.Response:
    body = json.dumps({"error": code, "error_description": description})
    return web.Response(status=400, text=body, content_type="application/json")
