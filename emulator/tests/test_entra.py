"""Microsoft Entra ID and TLS: the emulator's local issuer with Microsoft's libraries."""

import asyncio
import contextlib
import json
import ssl
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential, ManagedIdentityCredential
from azure.messaging.webpubsubservice import WebPubSubServiceClient
from cryptography.hazmat.primitives.asymmetric import rsa
from running_emulator import (
    HUB,
    JSON,
    RunningEmulator,
    run_emulator,
    run_event_handler,
    wait_until,
)
from webpubsub_emulator import Handler, ManualClock, Settings, read_settings
from webpubsub_emulator.entra import SERVICE_AUDIENCE, LocalIssuer
from webpubsub_emulator.tls import load_tls_context
from webpubsub_emulator.tokens import TokenError

AUDIENCE = "api://townsquare"
TENANT_ID = "11111111-2222-4333-8444-555555555555"
PRINCIPAL_ID = "66666666-7777-4888-9999-aaaaaaaaaaaa"


class Cloud:
    """An emulator with TLS that accepts only Entra tokens, as in Azure."""

    def __init__(self, emulator: RunningEmulator, certificate: Path) -> None:
        self.emulator = emulator
        self.endpoint = emulator.server.endpoint
        self.certificate = certificate

    def credential(self, **options: Any) -> ClientSecretCredential:
        return ClientSecretCredential(
            TENANT_ID,
            "the-application",
            "any-secret",
            authority=self.endpoint,
            disable_instance_discovery=True,
            connection_verify=str(self.certificate),
            **options,
        )

    def service(self, credential: Any) -> WebPubSubServiceClient:
        return WebPubSubServiceClient(
            self.endpoint,
            HUB,
            credential,
            connection_verify=str(self.certificate),
            retry_total=0,
        )

    @contextlib.asynccontextmanager
    async def connect(self, url: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        trusted = ssl.create_default_context(cafile=self.certificate)
        async with self.emulator.http.ws_connect(url, protocols=(JSON,), ssl=trusted) as websocket:
            yield websocket


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    options = {"entra": True, "tenant_id": TENANT_ID, "allow_access_keys": False}
    tls = load_tls_context(tmp_path, "localhost")
    async with run_emulator(tls=tls, **options) as emulator:
        yield Cloud(emulator, tmp_path / "certificate.pem")


# REST


async def test_azure_identity_and_the_service_sdk_work_over_tls(cloud: Cloud) -> None:
    def use_service() -> tuple[str, bool]:
        service = cloud.service(cloud.credential())
        url = service.get_client_access_token(user_id="ann", groups=["lobby"])["url"]
        return url, service.user_exists("ann")

    url, exists_before = await asyncio.to_thread(use_service)
    async with cloud.connect(url) as ann:
        connected = await ann.receive_json()
        service = cloud.service(cloud.credential())
        await asyncio.to_thread(service.send_to_group, "lobby", {"text": "hi"})
        message = await ann.receive_json()

        assert url.startswith("wss://localhost:")
        assert not exists_before
        assert connected["userId"] == "ann"
        assert message["data"] == {"text": "hi"}


async def test_managed_identity_of_app_service_gets_a_token(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{cloud.endpoint}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "any-value")
    credential = ManagedIdentityCredential(connection_verify=str(cloud.certificate))

    await asyncio.to_thread(cloud.service(credential).send_to_all, "hi")


async def test_access_keys_are_rejected_when_local_authentication_is_disabled(
    cloud: Cloud,
) -> None:
    service = WebPubSubServiceClient.from_connection_string(
        cloud.emulator.server.connection_string,
        hub=HUB,
        retry_total=0,
        connection_verify=str(cloud.certificate),
    )

    with pytest.raises(ClientAuthenticationError):
        await asyncio.to_thread(service.send_to_all, "hi")


class FixedCredential:
    """A credential with one token, valid or not."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_: str, **__: Any) -> Any:

        return AccessToken(self._token, 2**40)


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": AUDIENCE},
        {"iss": "https://sts.windows.net/another/"},
        {"exp": 1000},
        {"exp": None},
        {"nbf": 2**33},
    ],
)
async def test_rest_rejects_a_token_that_is_not_for_the_service(
    cloud: Cloud, changed: dict[str, Any]
) -> None:
    assert cloud.emulator.server.issuer is not None
    token = cloud.emulator.server.issuer.issue(**{"audience": SERVICE_AUDIENCE, **changed})
    service = cloud.service(FixedCredential(token))

    with pytest.raises(ClientAuthenticationError):
        await asyncio.to_thread(service.send_to_all, "hi")


async def test_rest_rejects_a_token_that_another_key_signed(cloud: Cloud) -> None:
    issuer = cloud.emulator.server.issuer
    assert issuer is not None
    claims = jwt.decode(issuer.issue(), options={"verify_signature": False})
    other_key = rsa.generate_private_key(65537, 2048)
    key_id = issuer.key_set()["keys"][0]["kid"]
    forged = jwt.encode(claims, other_key, "RS256", headers={"kid": key_id})

    with pytest.raises(ClientAuthenticationError):
        await asyncio.to_thread(cloud.service(FixedCredential(forged)).send_to_all, "hi")
    good = cloud.service(FixedCredential(issuer.issue()))
    await asyncio.to_thread(good.send_to_all, "hi")


async def test_entra_tokens_are_rejected_without_the_local_issuer() -> None:
    issuer = LocalIssuer("http://localhost", ManualClock().time)
    async with run_emulator() as emulator:
        url = f"{emulator.server.endpoint}/api/hubs/{HUB}/:send"
        headers = {"Authorization": f"Bearer {issuer.issue()}"}
        async with emulator.http.post(url, data=b"hi", headers=headers) as response:
            assert response.status == 401


# Upstream calls


def handled_with_identity(url: str, audience: str = AUDIENCE) -> Settings:
    return Settings({HUB: (Handler(url, identity_resource=audience),)})


async def test_events_have_the_token_of_the_managed_identity() -> None:
    async with run_event_handler() as app:
        options = {"principal_id": PRINCIPAL_ID, "tenant_id": TENANT_ID}
        settings = handled_with_identity(app.url)
        async with run_emulator(settings=settings, **options) as emulator:
            await emulator.connect("ann")
            request = await app.receive("connect")

            claims = await verify(emulator, request.headers["Authorization"])
            assert claims["aud"] == AUDIENCE
            assert claims["sub"] == claims["oid"] == PRINCIPAL_ID
            assert claims["tid"] == TENANT_ID
            assert claims["iss"] == f"{emulator.server.endpoint}/{TENANT_ID}/"
            assert request.headers["ce-signature"]


async def test_handler_without_authentication_gets_no_token() -> None:
    async with run_event_handler() as app:
        settings = Settings({HUB: (Handler(app.url),)})
        async with run_emulator(settings=settings, entra=True) as emulator:
            await emulator.connect("ann")

            assert "Authorization" not in (await app.receive("connect")).headers


async def test_rotated_key_signs_and_the_former_key_stays_published() -> None:
    async with (
        run_event_handler() as app,
        run_emulator(settings=handled_with_identity(app.url)) as emulator,
    ):
        await emulator.connect("ann")
        first = (await app.receive("connect")).headers["Authorization"]
        assert emulator.server.issuer is not None
        emulator.server.issuer.rotate_key()
        await emulator.connect("bob")
        second = (await app.receive("connect")).headers["Authorization"]

        assert key_id(first) != key_id(second)
        await verify(emulator, first)
        await verify(emulator, second)
        emulator.server.issuer.rotate_key(withdraw=True)
        with pytest.raises(jwt.PyJWKClientError):
            await verify(emulator, second)


async def test_token_is_renewed_before_it_expires() -> None:
    clock = ManualClock()
    async with run_event_handler() as app:
        settings = handled_with_identity(app.url)
        async with run_emulator(settings=settings, clock=clock) as emulator:
            tokens = []
            for seconds in (0, 60, 3000):
                clock.advance(seconds)
                await emulator.connect("ann")
                tokens.append((await app.receive("connect")).headers["Authorization"])

            assert tokens[0] == tokens[1] != tokens[2]


async def test_settings_file_gives_a_handler_its_resource(tmp_path: Path) -> None:
    file = tmp_path / "appsettings.json"
    async with run_event_handler() as app:
        auth = {"Type": "ManagedIdentity", "ManagedIdentity": {"Resource": AUDIENCE}}
        handler = {"UrlTemplate": app.url, "SystemEvents": ["connect"], "Auth": auth}
        write_handlers(file, [handler])
        async with run_emulator(settings=file) as emulator:
            await emulator.connect("ann")
            request = await app.receive("connect")
            assert (await verify(emulator, request.headers["Authorization"]))["aud"] == AUDIENCE

            auth["ManagedIdentity"]["Resource"] = "api://other"  # type: ignore[index]
            write_handlers(file, [handler])

            async def has_new_audience() -> bool:
                await emulator.connect("bob")
                request = await app.receive("connect")
                claims = await verify(emulator, request.headers["Authorization"], "api://other")
                return claims != {}

            await wait_until(has_new_audience)


def write_handlers(file: Path, handlers: list[dict[str, Any]]) -> None:

    file.write_text(json.dumps({"WebPubSub": {"Hubs": {HUB: {"EventHandlers": handlers}}}}))


async def verify(
    emulator: RunningEmulator, authorization: str, audience: str = AUDIENCE
) -> dict[str, Any]:
    """Verify a token as an application does. Returns {} for another audience."""
    issuer = f"{emulator.server.issuer.issuer}" if emulator.server.issuer else ""
    async with emulator.http.get(f"{issuer}.well-known/openid-configuration") as response:
        discovery = await response.json()
    assert discovery["issuer"] == issuer
    token = authorization.removeprefix("Bearer ")
    keys = jwt.PyJWKClient(discovery["jwks_uri"])
    key = await asyncio.to_thread(keys.get_signing_key_from_jwt, token)
    try:
        claims: dict[str, Any] = jwt.decode(token, key, ["RS256"], audience=audience, issuer=issuer)
    except jwt.InvalidAudienceError:
        return {}
    return claims


def key_id(authorization: str) -> str:
    return str(jwt.get_unverified_header(authorization.removeprefix("Bearer "))["kid"])


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "client_id": "a"}, "invalid_scope"),
        ({"grant_type": "client_credentials", "scope": "api://x/.default"}, "invalid_client"),
    ],
)
async def test_token_endpoint_names_the_error(form: dict[str, str], error: str) -> None:
    async with run_emulator(entra=True, tenant_id=TENANT_ID) as emulator:
        url = f"{emulator.server.endpoint}/{TENANT_ID}/oauth2/v2.0/token"
        async with emulator.http.post(url, data=form) as response:
            assert (response.status, (await response.json())["error"]) == (400, error)


@pytest.mark.parametrize(
    ("query", "headers", "error"),
    [
        ("?resource=https://webpubsub.azure.com", {}, "invalid_request"),
        ("", {"X-IDENTITY-HEADER": "any"}, "invalid_resource"),
    ],
)
async def test_managed_identity_endpoint_names_the_error(
    query: str, headers: dict[str, str], error: str
) -> None:
    async with run_emulator(entra=True) as emulator:
        url = f"{emulator.server.endpoint}/msi/token{query}"
        async with emulator.http.get(url, headers=headers) as response:
            assert (response.status, (await response.json())["error"]) == (400, error)


# The issuer without a server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def issuer(clock: ManualClock) -> LocalIssuer:
    return LocalIssuer("http://localhost:8080", clock.time)


def test_token_expires_with_the_emulators_clock(issuer: LocalIssuer, clock: ManualClock) -> None:
    token = issuer.issue(lifetime_seconds=60)
    issuer.verify(token)

    clock.advance(60 + 301)

    with pytest.raises(TokenError, match="expired"):
        issuer.verify(token)


def test_three_keys_stay_published(issuer: LocalIssuer) -> None:
    tokens = [issuer.issue()]
    for _ in range(3):
        issuer.rotate_key()
        tokens.append(issuer.issue())

    assert len(issuer.key_set()["keys"]) == 3
    with pytest.raises(TokenError, match="no key"):
        issuer.verify(tokens[0])
    for token in tokens[1:]:
        issuer.verify(token)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.", "\0"])
def test_malformed_token_is_a_token_error(issuer: LocalIssuer, token: str) -> None:
    with pytest.raises(TokenError):
        issuer.verify(token)


# The certificate


def test_certificate_is_reused_until_the_host_changes(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    load_tls_context(tmp_path, "localhost")
    first = certificate.read_bytes()
    load_tls_context(tmp_path, "localhost")
    same = certificate.read_bytes()
    load_tls_context(tmp_path, "webpubsub.example")

    assert first == same
    assert certificate.read_bytes() != first
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


def test_damaged_certificate_is_made_again(tmp_path: Path) -> None:
    load_tls_context(tmp_path, "localhost")
    (tmp_path / "certificate.pem").write_text("damaged")

    load_tls_context(tmp_path, "localhost")

    assert (tmp_path / "certificate.pem").read_text().startswith("-----BEGIN CERTIFICATE")


async def test_client_without_the_certificate_is_refused(cloud: Cloud) -> None:
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        async with cloud.emulator.http.get(f"{cloud.endpoint}/api/health"):
            pass


def test_unknown_authentication_type_is_an_error() -> None:

    handler = {"UrlTemplate": "http://localhost/", "Auth": {"Type": "ManagedIdentity"}}
    document = {"WebPubSub": {"Hubs": {HUB: {"EventHandlers": [handler]}}}}

    with pytest.raises(ValueError, match="ManagedIdentity with a Resource"):
        read_settings(document)
