"""A server in place of an Azure service, for tests that choose the responses."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from aiohttp import web
from azure.core.credentials import AccessToken
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.http_server import serve

Response = web.StreamResponse | None
"""None closes the connection without a response."""


@dataclass
class StandIn:
    """The URL of the server and what it received."""

    url: str = ""
    requests: list[web.BaseRequest] = field(default_factory=list)
    connections: list[asyncio.Transport] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def stand_in(
    *responses: Callable[[], Response | Awaitable[Response]],
    certificate: ssl.SSLContext | None = None,
) -> AsyncIterator[StandIn]:
    """A server on a free port. Sends each response once, then repeats the last one.

    A response is made when its request has been read.
    """
    server = StandIn()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport
        server.requests.append(request)
        server.connections.append(request.transport)
        server.bodies.append(await request.read())
        response = responses[min(len(server.requests), len(responses)) - 1]()
        if isinstance(response, Awaitable) and not isinstance(response, web.StreamResponse):
            response = await response
        if response is None:
            request.transport.abort()
            return web.Response()
        return response

    async with serve(handle, certificate=certificate) as server.url:
        yield server


def make_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """The TLS context of a server for localhost, and the certificate file that clients trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate_file, key_file)
    return context, certificate_file


class ManagedIdentity:
    """A credential like those of azure-identity. Records the requested scopes."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        return AccessToken("the-token", int(datetime.now(UTC).timestamp()) + 3600)

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass
