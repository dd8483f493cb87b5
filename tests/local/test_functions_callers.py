"""Other web sites cannot use a host on a developer's machine; auth levels require their keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.parts import Part
from tests import fetch
from tests.local.small_app import host_app, write_app

SOURCE = """
@app.route("open", methods=["GET", "POST", "OPTIONS"])
async def open_to_all(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("open")

@app.route("function", auth_level=func.AuthLevel.FUNCTION)
async def function(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("function")

@app.route("masters", auth_level=func.AuthLevel.ADMIN)
async def masters(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("masters")

@app.timer_trigger("timer", "0 0 0 1 1 *")
async def yearly(timer: func.TimerRequest) -> None:
    logging.info("yearly has run")
"""
LISTED = "https://listed.example"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Part]:
    settings = {"Host": {"CORS": LISTED}}
    app = write_app(tmp_path_factory.mktemp("app"), SOURCE, settings=settings)
    with host_app(app, options=["--allow-host", "proxy.example"]) as part:
        yield part


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("localhost", 200), ("127.0.0.1", 200), ("LOCALHOST", 200), ("[::1]", 200),
        ("proxy.example", 200), ("evil.example", 403), ("localhost.evil.example", 403),
        ("192.0.2.1", 403), ("", 403),
    ],
)  # fmt: skip
def test_requests_with_another_host_name_are_forbidden(host: Part, name: str, status: int) -> None:
    port = host.address.rpartition(":")[2]

    for header in (f"{name}:{port}", name):
        assert fetch.get(f"{host.url}/api/open", headers={"Host": header}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [("own", 200), (LISTED, 200), ("https://evil.example", 403), ("null", 403),
     ("http://localhost:1", 403)],
)  # fmt: skip
def test_requests_of_other_origins_are_forbidden(host: Part, origin: str, status: int) -> None:
    origin = host.url if origin == "own" else origin

    response = fetch.post(f"{host.url}/api/open", headers={"Origin": origin}, content=b"{}")

    assert response.status_code == status


def test_a_proxy_with_another_scheme_is_the_own_origin(host: Part) -> None:
    headers = {"Host": "proxy.example", "Origin": "https://proxy.example"}

    assert fetch.post(f"{host.url}/api/open", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"},
     {"Sec-Fetch-Site": "same-site"}, {"Host": "evil.example"}],
)  # fmt: skip
def test_admin_routes_reject_other_sites(host: Part, headers: dict[str, str]) -> None:
    for method, path in (("POST", "functions/yearly"), ("GET", "functions"), ("GET", "host/ping")):
        response = fetch.request(method, f"{host.url}/admin/{path}", headers=headers, content=b"{}")
        assert response.status_code == 403

    assert not [line for line in host.output if "yearly has run" in line]


def test_a_cross_site_navigation_is_allowed(host: Part) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}

    assert fetch.get(f"{host.url}/api/open", headers=headers).status_code == 200


def test_each_auth_level_requires_its_key(tmp_path: Path) -> None:
    options = ["--enable-auth", "--key", "sesame", "--master-key", "thyme"]
    with host_app(write_app(tmp_path, SOURCE), options=options) as part:

        def get_status(path: str, code: str, method: str = "GET", name: str = "code") -> int:
            return fetch.request(method, f"{part.url}/{path}", params={name: code}).status_code

        assert [get_status("api/function", code) for code in ("sesame", "thyme", "no")] == [
            200,
            200,
            401,
        ]
        assert [get_status("api/masters", code) for code in ("sesame", "thyme", "no")] == [
            401,
            200,
            401,
        ]
        assert [get_status("api/open", code) for code in ("sesame", "thyme", "no")] == [
            200,
            200,
            200,
        ]
        assert get_status("api/function", "sesame", name="CODE") == 200
        assert get_status("admin/functions", "sesame") == 401
        assert get_status("admin/functions", "thyme") == 200
        assert get_status("admin/functions/yearly", "sesame", "POST") == 401
        assert get_status("admin/functions/yearly", "thyme", "POST") == 202


def test_the_printed_master_key_is_accepted_by_admin_functions(tmp_path: Path) -> None:
    with host_app(write_app(tmp_path, SOURCE), options=["--enable-auth"]) as part:
        [line] = part.wait_for_output(lambda line: line.startswith("Master key: "))
        headers = {"x-functions-key": line.removeprefix("Master key: ")}

        assert fetch.get(f"{part.url}/api/masters", headers=headers).text == "masters"
