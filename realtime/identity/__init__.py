"""Who is calling: guests with a session, App Service Authentication, or OpenID Connect.

Beside an OpenID Connect issuer's tokens, the sessions that servers mint are valid too. App Service
Authentication rejects bearer tokens that are not its own before the app sees them.
"""

from functools import cache

from realtime.identity.caller import IdentityProvider
from realtime.identity.easyauth import EasyAuth
from realtime.identity.guest import Guest
from realtime.identity.oidc import OpenIdConnect
from realtime.identity.sessions import SessionSigner
from realtime.identity.vouched import VouchedOrAccount
from realtime.settings import settings


@cache
def identity_provider() -> IdentityProvider:
    """The provider that the setting IDENTITY selects."""
    if settings().identity == "easyauth":
        return EasyAuth()
    if settings().identity == "oidc":
        return VouchedOrAccount(session_signer(), openid_connect())
    return Guest(session_signer())


async def sign_in_addresses() -> list[str]:
    """The URLs that the page calls to sign users in: there are some with OpenID Connect only."""
    return await openid_connect().sign_in_addresses() if settings().identity == "oidc" else []


@cache
def openid_connect() -> OpenIdConnect:
    """The issuer of the settings."""
    return OpenIdConnect(settings().oidc_issuer, settings().oidc_audience)


@cache
def session_signer() -> SessionSigner:
    """Signs the sessions of this process, and verifies those of the previous secret too."""
    return SessionSigner(settings().session_secret, settings().session_secret_previous)
