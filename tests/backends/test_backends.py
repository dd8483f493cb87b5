"""Backends with a login of their own vouch for their users: the code of docs/embedding.md."""

import importlib
import json
from types import ModuleType
from typing import Any

import aiohttp
import django
import httpx
import pytest
from django.conf import settings
from fastapi import Request

from local.parts import ROOT, Part, Stack
from tests.strict import KEY

USER = {"id": 4711, "name": "Carol Müller"}

FRAMEWORKS = ("fastapi", "flask", "django")


@pytest.fixture(params=FRAMEWORKS)
def backend(
    request: pytest.FixtureRequest, strict: Part, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    monkeypatch.setenv("SECRET_KEY", "for-this-test-only")
    monkeypatch.setenv("TOWNSQUARE_URL", strict.url)
    monkeypatch.setenv("TOWNSQUARE_KEY", KEY)
    if request.param == "django" and not settings.configured:
        settings.configure(
            SECRET_KEY="for-this-test-only",
            INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        )
        django.setup()
    return importlib.import_module(f"tests.backends.{request.param}_backend")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_code_of_the_document_is_the_tested_one(framework: str) -> None:
    document = (ROOT / "docs/embedding.md").read_text("utf-8")
    code = (ROOT / f"tests/backends/{framework}_backend.py").read_text("utf-8")

    assert f"```python\n{code}```" in document
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 20


async def test_a_user_who_has_signed_in_gets_a_session_and_nobody_else_does(
    backend: ModuleType, stack: Stack, http: aiohttp.ClientSession
) -> None:
    ask = {"fastapi": ask_fastapi, "flask": ask_flask, "django": ask_django}
    framework = backend.__name__.rpartition(".")[2].removesuffix("_backend")

    refused, _ = await ask[framework](backend, signed_in=False)
    status, body = await ask[framework](backend, signed_in=True)

    assert (refused, status) == (401, 200)
    headers = {"Authorization": f"Bearer {body['session']}"}
    async with http.post(f"{stack.url}/api/negotiate", json={}, headers=headers) as answer:
        admitted = await answer.json()
    assert (admitted["user_id"], admitted["name"]) == ("user-4711", "Carol Müller")


async def sign_in(request: Request) -> None:
    request.session["user"] = USER


async def ask_fastapi(backend: ModuleType, *, signed_in: bool) -> tuple[int, Any]:
    backend.app.add_api_route("/login", sign_in, methods=["POST"])
    transport = httpx.ASGITransport(backend.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ours") as client:
        if signed_in:
            await client.post("/login")
        answer = await client.post("/townsquare/session")
        return answer.status_code, answer.json()


async def ask_flask(backend: ModuleType, *, signed_in: bool) -> tuple[int, Any]:
    client = backend.app.test_client()
    if signed_in:
        with client.session_transaction() as session:
            session["user"] = USER
    answer = client.post("/townsquare/session")
    return answer.status_code, answer.json


async def ask_django(backend: ModuleType, *, signed_in: bool) -> tuple[int, Any]:
    from django.contrib.auth.models import AnonymousUser, User
    from django.test import RequestFactory

    (route,) = backend.urlpatterns
    request = RequestFactory().post(f"/{route.pattern}")
    request.user = AnonymousUser()
    if signed_in:
        request.user = User(pk=USER["id"], first_name="Carol", last_name="Müller")
    answer = route.callback(request)
    return answer.status_code, json.loads(answer.content or b"null")
