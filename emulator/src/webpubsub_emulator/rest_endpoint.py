"""The REST data plane as an HTTP endpoint: authentication, faults, limits and responses."""

import asyncio
import logging
import time

from aiohttp import web

from webpubsub_emulator import tokens
from webpubsub_emulator.entra import LocalIssuer, is_entra_token
from webpubsub_emulator.faults import Fault, Faults
from webpubsub_emulator.quota import Quota
from webpubsub_emulator.rest_api import handle_rest
from webpubsub_emulator.rest_request import (
    API_VERSIONS,
    MAX_BODY_BYTES,
    RestRequest,
    RestResponse,
    body_too_large,
    error_response,
)
from webpubsub_emulator.service import Service
from webpubsub_emulator.tokens import TokenError
from webpubsub_emulator.traffic import Traffic
from webpubsub_emulator.websocket import reject

logger = logging.getLogger(__name__)


class RestEndpoint:
    """Answers REST requests with an access key's token, or with one of the local issuer."""

    def __init__(
        self,
        service: Service,
        faults: Faults,
        quota: Quota | None,
        traffic: Traffic,
        issuer: LocalIssuer | None,
        *,
        allow_access_keys: bool,
    ) -> None:
        self.issuer = issuer
        self._service = service
        self._faults = faults
        self._quota = quota
        self._traffic = traffic
        self._allow_access_keys = allow_access_keys

    async def handle(self, request: web.Request) -> web.Response:
        started = time.perf_counter()
        response, failure = await self._respond(request)
        self._traffic.record(
            "rest",
            method=request.method,
            path=request.path,
            status=response.status,
            duration_ms=round((time.perf_counter() - started) * 1000, 1),
            failure=failure or None,
        )
        return response

    async def _respond(self, request: web.Request) -> tuple[web.Response, str]:
        """Return the response, and what failed."""
        raw_path, _, query = request.raw_path.partition("?")
        try:
            self._check_token(request, raw_path)
        except TokenError as error:
            return reject(401, str(error)), str(error)
        fault = self._faults.take("rest")
        if fault is not None:
            response = await _apply_fault(fault, request)
            if response is not None:
                return response, "a fault was applied"
        if self._quota and raw_path.endswith(":send") and self._quota.is_exhausted:
            reason = "the Free tier's messages are used up"
            return reject(429, reason), reason
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return _build_response(request, error_response(body_too_large()))
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _build_response(request, error_response(body_too_large()))
        rest_request = RestRequest(
            request.method,
            raw_path,
            query,
            tuple(request.headers.items()),
            body,
            f"{request.scheme}://{request.host}",
            has_unknown_length=request.content_length is None and bool(body),
        )
        return _build_response(request, handle_rest(self._service, rest_request))

    def _check_token(self, request: web.Request, raw_path: str) -> None:
        token = tokens.parse_bearer(request.headers.get("Authorization", ""))
        if self.issuer is not None and is_entra_token(token):
            self.issuer.verify(token)
            return
        if not self._allow_access_keys:
            raise TokenError("local authentication is disabled: only Entra tokens are accepted")
        hosts = self._service.accepted_hosts(request.host)
        now = self._service.clock.time()
        tokens.check_rest_token(token, self._service.keys, hosts, raw_path, now)


def _build_response(request: web.Request, response: RestResponse) -> tuple[web.Response, str]:
    failure = ""
    # 404 is a normal response to HEAD; other errors are logged.
    if response.status >= 400 and request.method != "HEAD":
        failure = f"{response.error_code} {response.log_reason}".strip()
        path = "/".join(request.path.split("/")[:5])
        logger.warning("%s %s rejected: %d %s", request.method, path, response.status, failure)
    headers = {"x-ms-error-code": response.error_code} if response.error_code else None
    content_type = "application/json" if response.body else None
    return web.Response(
        status=response.status, body=response.body, headers=headers, content_type=content_type
    ), failure


async def _apply_fault(fault: Fault, request: web.Request) -> web.Response | None:
    """Return the response of the fault, or None when the request goes on."""
    if fault.action == "refuse":
        return reject(fault.status, "a fault was applied")
    if fault.action == "drop":
        if request.transport is not None:
            request.transport.abort()
        return reject(fault.status, "a fault was applied: dropped")
    await asyncio.sleep(fault.seconds)
    return None


async def add_version_header(request: web.Request, response: web.StreamResponse) -> None:
    if request.path.startswith("/api/"):
        response.headers["api-supported-versions"] = ", ".join(API_VERSIONS)
