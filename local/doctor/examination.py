"""Runs the checks in their order; an unexpected error in one becomes its finding."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import cast

import aiohttp

from local.doctor.app_checks import check_app, check_clock, check_negotiate, check_webhook
from local.doctor.conversation_check import check_conversation
from local.doctor.findings import CheckFailedError, CheckSkippedError, Finding, State
from local.doctor.service_checks import check_tables, check_webpubsub
from local.doctor.settings_checks import check_settings
from local.doctor.target import TIMEOUT_SECONDS, Target, is_local, parse_url
from local.doctor_deployment import check_streams, inspect_deployment

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
"""The checks that read the settings, which are known of a local app only."""


async def examine(
    url: str,
    environment: Mapping[str, str] | None,
    key: str = "",
    token: str = "",
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> AsyncIterator[Finding]:
    """The findings in the order of the checks, including those of the settings, if given."""
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
                yield Finding(name, "skipped", "the app has to be healthy first")
        if is_well and not is_local(url):
            async for finding in _examine_deployment(target):
                yield finding


async def _examine_deployment(target: Target) -> AsyncIterator[Finding]:
    """Checks the app's streams, and its resources in Azure where azd knows the app."""

    async def run_streams(target: Target) -> str:
        _, state, message = await check_streams(target.http, target.url)
        if state == "failed":
            raise CheckFailedError(message)
        return message

    yield await _run("streams", run_streams(target), target.timeout_seconds)
    try:
        results = await inspect_deployment(target.url)
    except Exception as error:  # noqa: BLE001 - a finding helps more than a traceback
        yield _describe_failure("deployment", error)
        return
    for name, state, message in results:
        yield Finding(name, cast("State", state), message)


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
        return Finding(name, "failed", f"No response within {limit:.0f} s; expected one at once.")
    except Exception as error:  # noqa: BLE001 - a finding helps more than a traceback
        return _describe_failure(name, error)


def _describe_failure(name: str, error: Exception) -> Finding:
    message = f"The check itself failed: {type(error).__name__}: {error}"
    return Finding(name, "failed", message[:300])
