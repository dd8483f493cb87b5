"""The policies of a pipeline to Table Storage: the date, the authentication and the retries."""

import base64
import hashlib
import hmac
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.pipeline import PipelineRequest, PipelineResponse, policies
from azure.core.rest import AsyncHttpResponse, HttpRequest

SCOPE = "https://storage.azure.com/.default"
"""What a managed identity asks a token for."""

Credential = AzureNamedKeyCredential | AzureSasCredential | AsyncTokenCredential


def make_authentication_policy(credential: Credential | None) -> Any:
    """None for a None credential: then the address has a shared access signature."""
    if credential is None:
        return None
    if isinstance(credential, AzureNamedKeyCredential):
        return SharedKeyPolicy(credential)
    if isinstance(credential, AzureSasCredential):
        return policies.AzureSasCredentialPolicy(credential)
    return policies.AsyncBearerTokenCredentialPolicy(credential, SCOPE)


class DatePolicy(policies.SansIOHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Dates each attempt: the service refuses requests that are older than 15 minutes."""

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        request.http_request.headers["x-ms-date"] = formatdate(usegmt=True)


class SharedKeyPolicy(policies.SansIOHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Signs a request to Table Storage with an account key.

    learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key, Table service.
    """

    def __init__(self, credential: AzureNamedKeyCredential) -> None:
        self._credential = credential

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        http = request.http_request
        account, key = self._credential.named_key
        address = urlsplit(http.url)
        to_sign = "\n".join(
            [
                http.method,
                "",  # Content-MD5
                http.headers.get("Content-Type", ""),
                http.headers["x-ms-date"],
                f"/{account}{address.path}",
            ]
        )
        digest = hmac.digest(base64.b64decode(key), to_sign.encode(), hashlib.sha256)
        signature = base64.b64encode(digest).decode()
        http.headers["Authorization"] = f"SharedKey {account}:{signature}"


class TransactionRetryPolicy(policies.AsyncRetryPolicy[HttpRequest, AsyncHttpResponse]):
    """Repeats only what the service has refused before doing anything (429, 503).

    Without a Retry-After the waits are 0, 0.2 and 0.4 seconds. After any other failure the
    transaction may have been committed, and repeating it would hide that behind a 409 or 412:
    the caller decides.
    """

    def is_retry(self, settings: dict[str, Any], response: PipelineResponse[Any, Any]) -> bool:
        return settings["total"] > 0 and response.http_response.status_code in {429, 503}
