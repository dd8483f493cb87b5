"""Who is calling: guests with a session, App Service Authentication, or OpenID Connect."""

from functools import cache

from realtime.identity.caller import IdentityProvider
from realtime.identity.easyauth import EasyAuth
from realtime.identity.guest import Guest
from realtime.identity.oidc import OpenIdConnect
from realtime.settings import settings


@cache
def identity_provider() -> IdentityProvider:
    """The provider that the setting IDENTITY selects."""
    if settings().identity == "easyauth":
        return EasyAuth()
    if settings().identity == "oidc":
        return OpenIdConnect(settings().oidc_issuer, settings().oidc_audience)
    return Guest(settings().session_secret)
