"""Sessions that servers mint, beside the accounts of another issuer.

`POST /api/users/{user_id}/session` mints them: for bots, for operators, and for users for whom a
backend vouches. They are bearer tokens, as an issuer's tokens are; the signature tells them apart.
"""

from collections.abc import Mapping

from realtime.errors import ApiError
from realtime.identity.caller import Caller, IdentityProvider, bearer_token
from realtime.identity.sessions import SessionSigner


class VouchedOrAccount:
    """Takes a minted session, and leaves every other proof to a provider.

    Sessions of guests are not taken: they are not verified by anybody.
    """

    def __init__(self, signer: SessionSigner, provider: IdentityProvider) -> None:
        self._signer = signer
        self._provider = provider

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        return self._find(headers) or await self._provider.authenticate(headers)

    async def authenticate_or_create(self, headers: Mapping[str, str], name: str) -> Caller:
        return self._find(headers) or await self._provider.authenticate_or_create(headers, name)

    def _find(self, headers: Mapping[str, str]) -> Caller | None:
        try:
            session = self._signer.verify(bearer_token(headers))
        except ApiError:
            return None
        return Caller(session.user_id, session.name, session) if session.vouched else None
