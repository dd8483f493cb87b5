"""Everything that can be set, once: name, default and what it is for.

In Azure these are the function app's application settings, on one desk the `Values` of
local.settings.json. No other file of the app reads the environment.
"""

import os
import platform
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from typing import Any

LOCAL_SECRET = "a-secret-for-one-desk-only-never-for-the-cloud"  # noqa: S105 - opens nothing
"""The SESSION_SECRET of local.settings.json.example; refused in Azure."""


class InvalidSettings(Exception):  # noqa: N818 - it reads as what it says
    """A setting is missing or wrong; the text names it and where to set it."""


def _setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True)
class Settings:
    """One line for each setting; its name in the environment is the upper-case form."""

    webpubsub_connection_string: str = _setting("", "Web PubSub by key. Set this or the endpoint.")
    webpubsub_endpoint: str = _setting("", "Web PubSub by managed identity, https://….")
    webpubsub_hub: str = _setting("townsquare", "The hub that all rooms and streams live in.")
    tables_connection_string: str = _setting("", "Table Storage by key. Set this or the endpoint.")
    tables_endpoint: str = _setting("", "Table Storage by managed identity, https://….")
    identity: str = _setting("guest", "Who may come in: guest, easyauth or oidc.")
    oidc_issuer: str = _setting("", "oidc: the issuer whose tokens are accepted, https://….")
    oidc_audience: str = _setting("", "oidc: the audience that a token must name.")
    session_secret: str = _setting("", "guest: signs sessions; 32 characters or more.")
    webhook_issuer: str = _setting("", "Managed identity: issuer of Web PubSub's Entra tokens.")
    webhook_audience: str = _setting("", "Managed identity: audience of Web PubSub's Entra tokens.")
    webhook_subject: str = _setting("", "Managed identity: object id that the tokens must be of.")
    rooms: str = _setting("open", "open: any name is a room; listed: only rooms made by REST.")
    barred: str = _setting("", "User ids that are kept out, separated by commas.")
    moderate: str = _setting("", "A moderation step, package.module:function.")
    moderate_failure: str = _setting("refuse", "When moderation fails or is late: refuse or pass.")
    messages_per_minute: int = _setting(120, "Messages that one person may send a minute.")
    joins_per_minute: int = _setting(120, "Joins that one person may make a minute.")
    negotiates_per_minute: int = _setting(60, "Connections that one person may open a minute.")
    history_days: int = _setting(90, "How long messages are kept; 0 keeps them for ever.")
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
    applicationinsights_connection_string: str = _setting("", "Telemetry; none without it.")

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """The settings of an environment, or InvalidSettings with what to do about it."""
        values = {
            one.name: _convert(one, environ[one.name.upper()])
            for one in fields(cls)
            if environ.get(one.name.upper())
        }
        settings = cls(**values)
        settings._check(in_azure=_in_azure(environ))
        return settings

    def _check(self, *, in_azure: bool) -> None:
        _need(
            self.webpubsub_connection_string or self.webpubsub_endpoint,
            "WEBPUBSUB_CONNECTION_STRING (or WEBPUBSUB_ENDPOINT) is missing",
        )
        _need(
            self.tables_connection_string or self.tables_endpoint,
            "TABLES_CONNECTION_STRING (or TABLES_ENDPOINT) is missing",
        )
        _need(
            self.webpubsub_connection_string or (self.webhook_issuer and self.webhook_audience),
            "WEBHOOK_ISSUER or WEBHOOK_AUDIENCE is missing; without an access key they tell whose "
            "events to believe",
        )
        self._check_identity(in_azure=in_azure)
        _one_of("ROOMS", self.rooms, "open", "listed")
        _one_of("MODERATE_FAILURE", self.moderate_failure, "refuse", "pass")
        _one_of("STOCKS_PROVIDER", self.stocks_provider, "simulator", "twelvedata", "finnhub")
        _one_of("WEATHER_PROVIDER", self.weather_provider, "open-meteo", "weatherapi")
        _need(self.history_days >= 0, "HISTORY_DAYS is negative; expected 0 or more days")
        for name in ("messages_per_minute", "joins_per_minute", "negotiates_per_minute"):
            limit = getattr(self, name)
            _need(limit >= 0, f"{name.upper()} is negative; expected 0 (no limit) or more")

    def _check_identity(self, *, in_azure: bool) -> None:
        _one_of("IDENTITY", self.identity, "guest", "easyauth", "oidc")
        if self.identity == "guest":
            _need(
                len(self.session_secret) >= 32,
                "SESSION_SECRET is missing or short; expected 32 random characters or more",
            )
            _need(
                not self.session_secret.startswith("@Microsoft.KeyVault("),
                "SESSION_SECRET is an unresolved Key Vault reference; expected what it refers to",
            )
            _need(
                not (in_azure and self.session_secret == LOCAL_SECRET),
                "SESSION_SECRET is the example's, which everybody knows; expected your own",
            )
        if self.identity == "oidc":
            _need(self.oidc_issuer, "OIDC_ISSUER is missing; IDENTITY=oidc needs it")
            _need(self.oidc_audience, "OIDC_AUDIENCE is missing; IDENTITY=oidc needs it")
            _need(
                self.oidc_issuer.startswith("https://") or not in_azure,
                "OIDC_ISSUER is not https://…; its keys could be exchanged on their way",
            )


@cache
def settings() -> Settings:
    """The settings of this process; read at the first request, never at import."""
    return Settings.read(os.environ)


def _in_azure(environ: Mapping[str, str]) -> bool:
    """Whether this is a deployed app, on whichever plan: not every plan sets both names."""
    on_a_desk = environ.get("AZURE_FUNCTIONS_ENVIRONMENT") == "Development"
    return not on_a_desk and not {"WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME"}.isdisjoint(environ)


def running_behind_authentication() -> bool:
    """Whether App Service Authentication stands before us and strips forged principal headers."""
    return os.environ.get("WEBSITE_AUTH_ENABLED", "").lower() == "true"


def instance() -> str:
    """What this instance is called: the platform's name for it, or this machine's."""
    return os.environ.get("WEBSITE_INSTANCE_ID", "")[:8] or platform.node()


def _convert(one: Field[Any], text: str) -> Any:
    if one.type is not int:
        return text
    try:
        return int(text)
    except ValueError:
        raise _invalid(f"{one.name.upper()} is {text!r}; expected a whole number") from None


def _one_of(name: str, value: str, *allowed: str) -> None:
    _need(value in allowed, f"{name} is {value!r}; expected {' or '.join(allowed)}")


def _need(condition: object, problem: str) -> None:
    if not condition:
        raise _invalid(problem)


def _invalid(problem: str) -> InvalidSettings:
    return InvalidSettings(
        f"{problem}. Set it in the function app's application settings, or on one desk under "
        "Values in local.settings.json."
    )
