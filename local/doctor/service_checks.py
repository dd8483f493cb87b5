"""Checks of the services that the settings lead to: Table Storage and Web PubSub."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from local.doctor.findings import WHERE_TO_SET, CheckFailedError, CheckSkippedError
from local.doctor.target import Target
from realtime.azure.tables import connect_tables
from realtime.azure.web_pubsub import connect_hub
from realtime.settings import Settings

CLOSE_TIMEOUT_SECONDS = 2.0

EXPECTED = {
    "WEBPUBSUB_CONNECTION_STRING": (
        "Expected Endpoint=https://<name>.webpubsub.azure.com;AccessKey=...;Version=1.0;"
    ),
    "WEBPUBSUB_ENDPOINT": (
        "Expected https://<name>.webpubsub.azure.com, and the role Web PubSub Service Owner."
    ),
    "TABLES_CONNECTION_STRING": (
        "Expected AccountName=...;AccountKey=...; and an address of the table service."
    ),
    "TABLES_ENDPOINT": (
        "Expected https://<name>.table.core.windows.net, and the role Storage Table Data "
        "Contributor."
    ),
}


async def check_tables(target: Target) -> str:
    """Writes a row and deletes it."""
    settings = _settings_of(target)
    name = "TABLES_CONNECTION_STRING" if settings.tables_connection_string else "TABLES_ENDPOINT"
    row = {"PartitionKey": ":doctor", "RowKey": secrets.token_hex(8)}
    async with _service(target, name, lambda: connect_tables(settings)) as service:
        table = service.open("bans")
        await table.upsert_entity(row)
        await table.delete_entity(row["PartitionKey"], row["RowKey"])
    return "a row was written and deleted"


async def check_webpubsub(target: Target) -> str:
    """Sends the service a request that requires a credential."""
    settings = _settings_of(target)
    by_key = bool(settings.webpubsub_connection_string)
    name = "WEBPUBSUB_CONNECTION_STRING" if by_key else "WEBPUBSUB_ENDPOINT"
    async with _service(target, name, lambda: connect_hub(settings)) as service:
        await service.ping()
        return f"{service.host} accepts the credential for the hub {settings.webpubsub_hub}"


def _settings_of(target: Target) -> Settings:
    if target.settings is None:
        raise CheckSkippedError("the settings have to be right first")
    return target.settings


@asynccontextmanager
async def _service(target: Target, name: str, connect: Callable[[], Any]) -> AsyncIterator[Any]:
    """A client made from the setting of that name; each failure becomes a CheckFailedError."""
    advice = f"{EXPECTED[name]} {WHERE_TO_SET}"
    try:
        client = connect()
    except (ValueError, KeyError, IndexError) as error:
        problem = str(error).strip("'\"")
        raise CheckFailedError(f"{name} cannot be read: {problem}. {advice}") from None
    try:
        async with asyncio.timeout(target.timeout_seconds):
            yield client
    except ClientAuthenticationError as error:
        raise CheckFailedError(f"The credential of {name} is refused. {advice}") from error
    except HttpResponseError as error:
        refuses = error.status_code in {401, 403}
        does = "refuses the credential" if refuses else f"returned {error.status_code}"
        raise CheckFailedError(f"What {name} names {does}. {advice}") from None
    except (AzureError, TimeoutError) as error:
        raise CheckFailedError(
            f"What {name} names does not respond ({type(error).__name__}). Is it started "
            f"(make start), is the address right? {advice}"
        ) from None
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await client.close()
