"""App Service Authentication: the platform signs users in and sets the principal headers.

learn.microsoft.com/azure/app-service/configure-authentication-user-identities
"""

import base64
from collections.abc import Mapping

import msgspec

from realtime.errors import ApiError
from realtime.identity.caller import Caller, account_caller
from realtime.identity.origin import is_from_other_site
from realtime.settings import running_behind_authentication

MAX_PRINCIPAL_CHARACTERS = 64 * 1024


class _Claim(msgspec.Struct):
    typ: str
    val: str


class _Principal(msgspec.Struct):
    auth_typ: str
    claims: list[_Claim]


class EasyAuth:
    """The provider for IDENTITY=easyauth.

    The headers are trusted only where the platform says that authentication is on: elsewhere
    anybody can send them.
    """

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        if not running_behind_authentication():
            raise ApiError("unauthenticated", "App Service Authentication is off.")
        # The proof is a cookie, and browsers send cookies with requests of other sites' pages too.
        if is_from_other_site(headers):
            raise ApiError("forbidden", "Requests from other sites are not allowed.")
        subject = headers.get("x-ms-client-principal-id", "")
        principal = _parse_principal(headers.get("x-ms-client-principal", ""))
        if not subject or principal is None:
            raise ApiError("unauthenticated", "Sign in first.")
        name = _claimed_name(principal) or headers.get("x-ms-client-principal-name", "")
        return account_caller(principal.auth_typ, subject, name.partition("@")[0])

    async def authenticate_or_create(
        self,
        headers: Mapping[str, str],
        name: str,  # noqa: ARG002 - an account has its own name
    ) -> Caller:
        return await self.authenticate(headers)


def _claimed_name(principal: _Principal) -> str:
    """The display name, which the header may only have as an address."""
    return next((claim.val for claim in principal.claims if claim.typ == "name"), "")


def _parse_principal(text: str) -> _Principal | None:
    if not text or len(text) > MAX_PRINCIPAL_CHARACTERS:
        return None
    try:
        found = msgspec.json.decode(base64.b64decode(text, validate=True), type=_Principal)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return found if found.auth_typ and found.claims else None
