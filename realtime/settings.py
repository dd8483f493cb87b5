"""The app's settings: name, default and meaning of each.

In Azure they are the function app's application settings, locally the `Values` of
local.settings.json. No other file of the app reads the environment.
"""

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from typing import Any

LOCAL_SECRET = "for-local-use-only-do-not-use-this-in-azure"  # noqa: S105 - public, rejected in Azure
"""The SESSION_SECRET of local.settings.json.example; rejected in Azure."""


class InvalidSettingsError(Exception):
    """A setting is missing or wrong; the text names it and where to set it."""


def _setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True)
class Settings:
    """One line for each setting; its name in the environment is the upper-case form."""

    webpubsub_connection_string: str = _setting("", "Web PubSub by key. Set this or the endpoint.")
    webpubsub_endpoint: str = _setting("", "Web PubSub by managed identity, https://….")
    webpubsub_client_endpoint: str = _setting(
        "", "Where clients reach Web PubSub through a reverse proxy or tunnel, https://…."
    )
    webpubsub_hub: str = _setting("townsquare", "The hub of all rooms and streams.")
    tables_connection_string: str = _setting("", "Table Storage by key. Set this or the endpoint.")
    tables_endpoint: str = _setting("", "Table Storage by managed identity, https://….")
    identity: str = _setting(
        "guest", "How users are identified: guest, easyauth or oidc; Azure has no default."
    )
    oidc_issuer: str = _setting("", "oidc: the issuer whose tokens are accepted, https://….")
    oidc_audience: str = _setting("", "oidc: the audience that a token must name.")
    oidc_client_id: str = _setting("", "oidc: the client id that the page signs in with.")
    oidc_scope: str = _setting("openid profile", "oidc: the scopes that the page asks for.")
    session_secret: str = _setting(
        "", "guest, oidc: signs the sessions of guests and minted ones; 32 characters or more."
    )
    session_secret_previous: str = _setting("", "The secret before; its sessions stay valid.")
    allowed_origins: str = _setting(
        "", "Sites whose pages may embed the app and call it, https://…, separated by commas."
    )
    webhook_issuer: str = _setting(
        "", "Managed identity: issuers of Web PubSub's Entra tokens, separated by commas."
    )
    webhook_audience: str = _setting(
        "", "Managed identity: audiences of Web PubSub's Entra tokens, separated by commas."
    )
    webhook_subject: str = _setting("", "Managed identity: object id that the tokens must have.")
    rooms: str = _setting("open", "open: any name is a room; listed: only rooms created by REST.")
    banned_users: str = _setting("", "User ids that are banned, separated by commas.")
    moderate: str = _setting("", "The moderation function, package.module:function.")
    moderate_failure: str = _setting("refuse", "If moderation fails or times out: refuse or pass.")
    messages_per_minute: int = _setting(120, "Messages that one user may send a minute.")
    joins_per_minute: int = _setting(120, "Joins that one user may make a minute.")
    negotiates_per_minute: int = _setting(60, "Negotiate requests of one user a minute.")
    guests_per_minute: int = _setting(600, "New guests of one address a minute.")
    connections_per_user: int = _setting(10, "Connections of one user at a time; 0: no limit.")
    connects_per_minute: int = _setting(60, "Connections that one user may open a minute.")
    history_days: int = _setting(90, "Retention of messages in days; 0 means no limit.")
    streams_off: str = _setting("", "Streams that are turned off, separated by commas.")
    edit_hours: int = _setting(24, "Hours in which an author may edit a message; 0 forbids it.")
    stocks_schedule: str = _setting("* * * * * *", "NCRONTAB of the stock prices.")
    metrics_schedule: str = _setting("*/5 * * * * *", "NCRONTAB of the system metrics.")
    weather_schedule: str = _setting("0 * * * * *", "NCRONTAB of the weather.")
    stock_symbols: str = _setting("AAPL,GOOGL,MSFT,AMZN,TSLA", "Symbols, separated by commas.")
    stocks_provider: str = _setting("simulator", "simulator, twelvedata or finnhub.")
    twelvedata_key: str = _setting("", "Key of twelvedata.com.")
    finnhub_key: str = _setting("", "Key of finnhub.io.")
    weather_cities: str = _setting(
        "London,New York,Tokyo,Sydney,Berlin", "Cities, separated by commas; Name@lat:lon is exact."
    )
    weather_provider: str = _setting("open-meteo", "open-meteo (no key) or weatherapi.")
    weatherapi_key: str = _setting("", "Key of weatherapi.com.")
    applicationinsights_connection_string: str = _setting(
        "", "Application Insights; without it there is no telemetry."
    )

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """The settings of an environment. Raises InvalidSettingsError."""
        values = {
            one.name: _convert(one, environ[one.name.upper()])
            for one in fields(cls)
            if environ.get(one.name.upper())
        }
        settings = cls(**values)
        in_azure = _in_azure(environ)
        _require(
            not in_azure or environ.get("IDENTITY"),
            "IDENTITY is missing; expected guest (everybody may enter), easyauth or oidc",
        )
        settings._check(in_azure=in_azure)
        return settings

    def _check(self, *, in_azure: bool) -> None:
        _require(
            self.webpubsub_connection_string or self.webpubsub_endpoint,
            "WEBPUBSUB_CONNECTION_STRING (or WEBPUBSUB_ENDPOINT) is missing",
        )
        _require(
            self.tables_connection_string or self.tables_endpoint,
            "TABLES_CONNECTION_STRING (or TABLES_ENDPOINT) is missing",
        )
        _require(
            not self.webpubsub_client_endpoint
            or self.webpubsub_client_endpoint.startswith(("https://", "http://")),
            "WEBPUBSUB_CLIENT_ENDPOINT is not a URL; expected https://…",
        )
        _require(
            self.webpubsub_connection_string
            or (self.webhook_issuer and self.webhook_audience and self.webhook_subject),
            "WEBHOOK_ISSUER, WEBHOOK_AUDIENCE or WEBHOOK_SUBJECT is missing; without an access key "
            "the webhook verifies tokens of this issuer, for this audience, of this subject",
        )
        self._check_identity(in_azure=in_azure)
        for origin in split_list(self.allowed_origins):
            _require(
                re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?", origin),
                f"ALLOWED_ORIGINS has {origin!r}; expected https://host or https://host:port each",
            )
        _require_one_of("ROOMS", self.rooms, "open", "listed")
        _require_one_of("MODERATE_FAILURE", self.moderate_failure, "refuse", "pass")
        _require_one_of(
            "STOCKS_PROVIDER", self.stocks_provider, "simulator", "twelvedata", "finnhub"
        )
        _require_one_of("WEATHER_PROVIDER", self.weather_provider, "open-meteo", "weatherapi")
        _require(self.history_days >= 0, "HISTORY_DAYS is negative; expected 0 or more days")
        limits = [one.name for one in fields(self) if re.search("_per_(minute|user)$", one.name)]
        for name in limits:
            limit = getattr(self, name)
            _require(limit >= 0, f"{name.upper()} is negative; expected 0 (no limit) or more")

    @property
    def has_minted_sessions(self) -> bool:
        """Whether the sessions that servers mint are valid.

        App Service Authentication rejects bearer tokens that are not its own.
        """
        return self.identity != "easyauth" and bool(self.session_secret)

    def _check_session_secrets(self, *, in_azure: bool) -> None:
        _require(
            len(self.session_secret) >= 32,
            "SESSION_SECRET is missing or short; expected 32 random characters or more",
        )
        secrets = {
            "SESSION_SECRET": self.session_secret,
            "SESSION_SECRET_PREVIOUS": self.session_secret_previous,
        }
        for name, secret in secrets.items():
            _require(
                not secret.startswith("@Microsoft.KeyVault("),
                f"{name} is an unresolved Key Vault reference; expected what it refers to",
            )
            _require(
                not (in_azure and secret == LOCAL_SECRET),
                f"{name} is the public one of the example; expected your own",
            )

    def _check_identity(self, *, in_azure: bool) -> None:
        _require_one_of("IDENTITY", self.identity, "guest", "easyauth", "oidc")
        if self.identity == "guest" or self.has_minted_sessions:
            self._check_session_secrets(in_azure=in_azure)
        if self.identity == "oidc":
            _require(self.oidc_issuer, "OIDC_ISSUER is missing; IDENTITY=oidc needs it")
            _require(self.oidc_audience, "OIDC_AUDIENCE is missing; IDENTITY=oidc needs it")
            _require(
                self.oidc_issuer.startswith("https://") or not in_azure,
                "OIDC_ISSUER is not https://…; its keys would travel without TLS",
            )


@cache
def settings() -> Settings:
    """The settings of this process, read at the first call and not at import."""
    return Settings.read(os.environ)


def _in_azure(environ: Mapping[str, str]) -> bool:
    """Whether this is a deployed app. Not every hosting plan sets both variables."""
    local = environ.get("AZURE_FUNCTIONS_ENVIRONMENT") == "Development"
    return not local and not {"WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME"}.isdisjoint(environ)


def running_behind_authentication() -> bool:
    """Whether App Service Authentication is on; it removes forged principal headers."""
    return os.environ.get("WEBSITE_AUTH_ENABLED", "").lower() == "true"


def split_list(text: str) -> list[str]:
    """The values of a setting that are separated by commas."""
    return [one.strip() for one in text.split(",") if one.strip()]


def own_address() -> str | None:
    """The address at which the app can call itself; Azure and Core Tools set the variable."""
    host = os.environ.get("WEBSITE_HOSTNAME", "")
    local = host.partition(":")[0] in {"localhost", "127.0.0.1"}
    return f"{'http' if local else 'https'}://{host}" if host else None


def instance_name() -> str:
    """The platform's id of this instance, or the host name of this machine."""
    return os.environ.get("WEBSITE_INSTANCE_ID", "")[:8] or platform.node()


def _convert(one: Field[Any], text: str) -> Any:
    if one.type is not int:
        return text
    try:
        return int(text)
    except ValueError:
        raise _invalid(f"{one.name.upper()} is {text!r}; expected a whole number") from None


def _require_one_of(name: str, value: str, *allowed: str) -> None:
    _require(value in allowed, f"{name} is {value!r}; expected {' or '.join(allowed)}")


def _require(condition: object, problem: str) -> None:
    if not condition:
        raise _invalid(problem)


def _invalid(problem: str) -> InvalidSettingsError:
    return InvalidSettingsError(
        f"{problem}. Set it in the function app's application settings, or locally under "
        "Values in local.settings.json."
    )
