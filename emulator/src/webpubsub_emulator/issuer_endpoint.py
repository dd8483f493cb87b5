"""The local issuer over HTTP, at the paths of Microsoft Entra ID."""

import json

from aiohttp import web

from webpubsub_emulator.entra import TOKEN_LIFETIME_SECONDS, LocalIssuer

_DEFAULT_SCOPE_SUFFIX = "/.default"
MANAGED_IDENTITY_PATH = "/msi/token"


class IssuerEndpoint:
    """Discovery document, keys, and two ways to get a token.

    The token endpoint has the client credentials grant. The managed identity endpoint is that of
    App Service: IDENTITY_ENDPOINT is its URL, IDENTITY_HEADER any value. Both accept every client:
    the point is the shape of the tokens.
    https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
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
        router.add_get(MANAGED_IDENTITY_PATH, self._create_managed_identity_token)

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

    async def _create_managed_identity_token(self, request: web.Request) -> web.Response:
        resource = request.query.get("resource")
        if not request.headers.get("X-IDENTITY-HEADER"):
            return _error("invalid_request", "The header X-IDENTITY-HEADER is missing.")
        if not resource:
            return _error("invalid_resource", "The parameter resource is missing.")
        client_id = request.query.get("client_id") or self._issuer.principal_id
        token = self._issuer.issue(resource.rstrip("/"), subject=client_id)
        return web.json_response(
            {
                "token_type": "Bearer",
                "expires_on": str(self._issuer.expiry_of_new_token()),
                "resource": resource,
                "client_id": client_id,
                "access_token": token,
            }
        )


def _error(code: str, description: str) -> web.Response:
    body = json.dumps({"error": code, "error_description": description})
    return web.Response(status=400, text=body, content_type="application/json")
