"""The webhook accepts Entra tokens of version 1 and 2 of the service, and no others."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from local.parts import Stack, free_ports, start_functions
from tests import logs
from tests.issuer import OwnIssuer
from tests.service import Service, event_headers
from tests.strict import QUIET

APPLICATION = "11111111-2222-4333-8444-555555555555"
SUBJECT = "the object id of the service's identity"


@pytest.fixture
async def versions() -> AsyncIterator[list[OwnIssuer]]:
    """Two issuers: tokens of version 1 and of version 2 of a tenant name different issuers."""
    async with OwnIssuer() as first, OwnIssuer() as second:
        yield [first, second]


@pytest.fixture
async def service(
    stack: Stack, versions: list[OwnIssuer], http: aiohttp.ClientSession
) -> AsyncIterator[Service]:
    """Sends events to an app without an access key, with the settings of infra/settings.bicep."""
    environment = {
        **QUIET,
        **stack.environment,
        "WEBPUBSUB_CONNECTION_STRING": "",
        "WEBPUBSUB_ENDPOINT": "https://localhost",
        "WEBHOOK_ISSUER": ",".join(one.url for one in versions),
        "WEBHOOK_AUDIENCE": f"api://{APPLICATION},{APPLICATION}",
        "WEBHOOK_SUBJECT": SUBJECT,
        "CONNECTIONS_PER_USER": "0",  # No service is running that lists connections.
    }
    (port,) = free_ports(1)
    app = start_functions(port, environment, listener=logs.lines.append)
    try:
        await asyncio.to_thread(app.wait)
        yield Service(http, app.url)
    finally:
        app.stop()


async def status_for(service: Service, token: str) -> int:
    headers = event_headers("connect", system=True)
    response = await service.call("POST", headers | {"Authorization": f"Bearer {token}"}, b"{}")
    return response.status


async def test_tokens_of_both_versions_are_accepted(
    service: Service, versions: list[OwnIssuer]
) -> None:
    first, second = versions

    statuses = [
        await status_for(service, first.token(aud=f"api://{APPLICATION}", sub=SUBJECT)),
        await status_for(service, second.token(aud=APPLICATION, sub=SUBJECT)),
    ]

    assert statuses == [200, 200]


async def test_other_tokens_are_rejected(service: Service, versions: list[OwnIssuer]) -> None:
    first, second = versions
    async with OwnIssuer() as other:
        rejected = [
            first.token(aud="api://another", sub=SUBJECT),
            first.token(aud=APPLICATION, sub="another application of the tenant"),
            second.token(aud=APPLICATION, sub=""),
            other.token(aud=APPLICATION, sub=SUBJECT),
            # Signed by one issuer, with the name of the other.
            first.token(iss=second.url, aud=APPLICATION, sub=SUBJECT),
            other.token(iss=first.url, aud=APPLICATION, sub=SUBJECT),
            "no token",
        ]

        statuses = [await status_for(service, token) for token in rejected]

    assert statuses == [401] * len(rejected)
