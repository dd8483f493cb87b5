"""The document that the app gives of itself is true: every answer is held against it."""

import re
from html import unescape
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks

import function_app  # noqa: F401 - declares all functions
from local.parts import Desk
from pages import openapi, reference
from realtime.http import endpoints
from tests.people import Person

TRUE = (
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
)


@pytest.fixture(scope="session")
def document(desk: Desk) -> dict[str, Any]:
    import httpx

    return httpx.get(f"{desk.url}/api/openapi.json").raise_for_status().json()


# --- a walk through all functions, as people and servers take it -------------------------------

SAY = {"content": "good morning", "from": "school"}

WALK = [
    ("POST", "/api/negotiate", {"json": {"user_id": "bob", "room": "walk", "groups": "weather"}}),
    ("GET", "/api/negotiate", {"params": {"user_id": "bob", "groups": "weather,metrics"}}),
    ("GET", "/api/streams", {}),
    ("GET", "/api/streams/weather", {}),
    ("POST", "/api/streams/weather/subscribe", {}),
    ("POST", "/api/streams/weather/unsubscribe", {}),
    ("POST", "/api/rooms/walk/message", {"json": SAY}),
    ("POST", "/api/users/bob-1/message", {"json": SAY}),
    ("GET", "/api/rooms", {}),
    ("GET", "/api/rooms/walk/history", {"params": {"limit": "10", "after": "0"}}),
    ("GET", "/api/rooms/walk/users", {}),
    ("GET", "/api/direct/bob-1/history", {}),
    ("GET", "/api/users/bob-1/online", {}),
    ("POST", "/api/publish", {"params": {"group": "walkers"}, "json": {"type": "news"}}),
    ("PUT", "/api/rooms/walk-private", {"json": {"private": True}}),
    ("PUT", "/api/rooms/walk-private/members/bob-1", {}),
    ("DELETE", "/api/rooms/walk-private/members/bob-1", {}),
    ("PUT", "/api/users/bob-1/ban", {}),
    ("DELETE", "/api/users/bob-1/ban", {}),
    ("GET", "/api/health", {}),
    ("GET", "/api/openapi.json", {}),
    ("GET", "/api/docs", {}),
    ("GET", "/", {}),
    ("GET", "/assets/index.js", {}),
    ("OPTIONS", "/api/pubsub/events", {"headers": {"WebHook-Request-Origin": "localhost"}}),
]

REFUSED = [
    ("GET", "/api/rooms/walk/history", {"params": {"limit": "many"}}, 400),
    ("GET", "/api/rooms/not a room/history", {}, 400),
    ("GET", "/api/streams/tides", {}, 404),
    ("POST", "/api/rooms/walk/message", {"data": b"{"}, 400),
    ("POST", "/api/rooms/walk/message", {"json": {"content": 1}}, 400),
    ("POST", "/api/publish", {"params": {"group": "a", "user": "b"}, "json": {}}, 400),
]


def operation(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    """The operation that a path belongs to; literal paths come before those with parameters."""
    for known in sorted(document["paths"], key=lambda one: one.count("{")):
        pattern = re.sub(r"{\w+}", "[^/]+", known)
        if re.fullmatch(pattern, path) and method.lower() in document["paths"][known]:
            return document["paths"][known][method.lower()]
    raise AssertionError(f"{method} {path} is not in the document")


def conforms(document: dict[str, Any], response: dict[str, Any], answer: Any) -> None:
    schema = response["content"]["application/json"]["schema"]
    jsonschema_rs.validate({**schema, "components": document["components"]}, answer)


@pytest.fixture
async def ann(desk, http):
    return await Person.enter(http, desk.url, "ann")


@pytest.fixture
async def http():
    import aiohttp

    async with aiohttp.ClientSession() as session:
        yield session


async def test_every_answer_on_a_walk_through_all_functions_is_as_the_document_says(
    desk, http, ann, document
):
    walked = set()
    for method, path, options in WALK:
        given = {"Authorization": f"Bearer {ann.session}", **options.pop("headers", {})}
        async with http.request(method, desk.url + path, headers=given, **options) as answer:
            assert answer.status in {200, 204} or path.startswith("/assets"), await answer.text()
            told = operation(document, method, path)
            walked.add(told["operationId"])
            if answer.content_type == "application/json":
                conforms(document, told["responses"]["200"], await answer.json())
            else:
                assert "content" not in told["responses"]["200"], path

    told = {one["operationId"] for item in document["paths"].values() for one in item.values()}
    assert told - walked == {"pubsub_events_post"}  # Only Web PubSub can call that.


@pytest.mark.parametrize(("method", "path", "options", "status"), REFUSED)
async def test_every_refusal_is_as_the_document_says(
    desk, http, ann, document, method, path, options, status
):
    given = {"Authorization": f"Bearer {ann.session}"}
    async with http.request(method, desk.url + path, headers=given, **options) as answer:
        assert answer.status == status, await answer.text()
        told = operation(document, method, path)["responses"]
        body = await answer.json()
        conforms(document, told["default"], body)
        assert body["error"]["code"]


def test_the_document_has_every_function_with_its_methods():
    told = {(openapi.path(one), method.lower()) for one in endpoints for method in one.methods}
    paths = openapi.document()["paths"]

    assert told == {(path, method) for path, item in paths.items() for method in item}
    assert len(told) >= 25


# --- chance ---------------------------------------------------------------------------------


schema = schemathesis.openapi.from_dict(openapi.document())


@pytest.fixture(scope="module")
def session(desk):
    import httpx

    entered = httpx.post(f"{desk.url}/api/negotiate", json={"user_id": "eve"})
    return entered.raise_for_status().json()["session"]


OPERATIONS = [
    (method, path) for path, item in openapi.document()["paths"].items() for method in item
]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_whatever_is_asked_is_answered_as_the_document_says(method, path, desk, session):
    headers = {"Authorization": f"Bearer {session}"}

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=schema[path][method].as_strategy())
    def ask(case):
        case.call_and_validate(base_url=desk.url, checks=TRUE, headers=headers)

    ask()


# --- the page of it -------------------------------------------------------------------------


def test_the_page_for_people_names_every_function_and_runs_no_script():
    page = reference.render_reference(openapi.document())

    for path, item in openapi.document()["paths"].items():
        for method in item:
            assert f"{method.upper()} {path}" in unescape(page)
    assert "<script" not in page
    assert "default-src 'none'" in reference.HEADERS["Content-Security-Policy"]


def test_nothing_in_the_document_can_become_html():
    document = openapi.document()
    evil = {**document, "info": {**document["info"], "title": "<img src=x onerror=alert(1)>"}}
    evil["paths"] = {"/<b>": {"get": next(iter(document["paths"]["/api/health"].values()))}}

    page = reference.render_reference(evil)

    assert "<img" not in page
    assert "<b>" not in page
