"""Who is calling: guests with a session, App Service Authentication, or OpenID Connect."""

from functools import cache

from realtime.identity.caller import IdentityProvider
from realtime.identity.easyauth import EasyAuth
from realtime.identity.guest import Guest
from realtime.identity.oidc import OpenIdConnect
from realtime.identity.sessions import SessionSigner
from realtime.settings import settings


@cache
def identity_provider() -> IdentityProvider:
    """The provider that the setting IDENTITY selects."""
    if settings().identity == "easyauth":
        return EasyAuth()
    if settings().identity == "oidc":
        return OpenIdConnect(settings().oidc_issuer, settings().oidc_audience)
    return Guest(session_signer())


async def sign_in_addresses() -> list[str]:
    """The URLs that the page calls to sign users in: there are some with OpenID Connect only."""
    provider = identity_provider()
    return await provider.sign_in_addresses() if isinstance(provider, OpenIdConnect) else []


@cache
def session_signer() -> SessionSigner:
    """Signs the sessions of this process, and verifies those of the previous secret too."""
    return SessionSigner(settings().session_secret, settings().session_secret_previous)
