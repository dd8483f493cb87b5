"""Runs the checks in their order; whatever happens in one becomes its finding."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import aiohttp

from local.doctor.app_checks import check_app, check_clock, check_negotiate, check_webhook
from local.doctor.conversation_check import check_conversation
from local.doctor.findings import CheckFailedError, CheckSkippedError, Finding
from local.doctor.service_checks import check_tables, check_webpubsub
from local.doctor.settings_checks import check_settings
from local.doctor.target import TIMEOUT_SECONDS, Target, parse_url

CHECKS: dict[str, Callable[[Target], Awaitable[str]]] = {
    "tables": check_tables,
    "webpubsub": check_webpubsub,
    "app": check_app,
    "clock": check_clock,
    "negotiate": check_negotiate,
    "webhook": check_webhook,
    "conversation": check_conversation,
}

SETTINGS_CHECKS = {"tables", "webpubsub"}
"""The checks that need the settings, which only a local app's are known of."""


async def examine(
    url: str,
    environment: Mapping[str, str] | None,
    key: str = "",
    token: str = "",
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> AsyncIterator[Finding]:
    """Every finding in turn; with an environment its settings are checked too."""
    settings = None
    if environment is not None:
        finding, settings = check_settings(environment)
        yield finding
    try:
        url = parse_url(url)
    except CheckFailedError as error:
        yield Finding("app", "failed", str(error))
        return
    async with aiohttp.ClientSession() as http:
        target = Target(url, http, key, token, settings, timeout_seconds)
        is_well = True
        for name, check in CHECKS.items():
            if name in SETTINGS_CHECKS and environment is None:
                continue
            if is_well:
                finding = await _run(name, check(target), timeout_seconds)
                is_well = name != "app" or finding.state == "ok"
                yield finding
            else:
                yield Finding(name, "skipped", "the app has to be well first")


async def _run(name: str, check: Awaitable[str], timeout_seconds: float) -> Finding:
    limit = 1.5 * timeout_seconds  # the time-out of a service, with its own message, comes first
    try:
        async with asyncio.timeout(limit):
            return Finding(name, "ok", await check)
    except CheckFailedError as problem:
        return Finding(name, "failed", str(problem))
    except CheckSkippedError as reason:
        return Finding(name, "skipped", str(reason))
    except TimeoutError:
        return Finding(name, "failed", f"No answer within {limit:.0f} s; expected one at once.")
    except Exception as error:  # noqa: BLE001 - a finding helps more than a traceback
        return Finding(
            name, "failed", f"The check itself failed: {type(error).__name__}: {error}"[:300]
        )
