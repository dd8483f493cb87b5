"""The page and its assets, the health report, the API document, and its reference."""

from collections.abc import Mapping

import azure.functions as func
from werkzeug.http import parse_accept_header, parse_etags, quote_etag

from pages import assets
from pages.health import HealthReport, HealthStatus, reported_health
from realtime.azure.web_pubsub import hub
from realtime.http import Access, endpoint, json_response
from realtime.identity import sign_in_addresses
from realtime.settings import settings, split_list

bp = func.Blueprint()


@endpoint(bp, "GET", "{ignored:maxlength(0)?}", Access.PUBLIC, documented=False, head=True)
async def page(req: func.HttpRequest) -> func.HttpResponse:
    """Get the page."""
    policy = assets.content_security_policy(
        hub().client_endpoint, await sign_in_addresses(), split_list(settings().allowed_origins)
    )
    return _send_file(req, assets.read_page(settings()), {"Content-Security-Policy": policy})


@endpoint(bp, "GET", "assets/{file}", Access.PUBLIC, documented=False, head=True)
async def page_asset(req: func.HttpRequest) -> func.HttpResponse:
    """Get a script, a style or an image of the pages."""
    return _send_file(req, assets.read_file(req.route_params["file"]))


@endpoint(bp, "GET", "favicon.ico", Access.PUBLIC, documented=False, head=True)
async def page_icon(req: func.HttpRequest) -> func.HttpResponse:
    """Get the icon that browsers ask for where a page names none."""
    return _send_file(req, assets.read_file("favicon.ico"))


def _send_file(
    req: func.HttpRequest, file: assets.File | None, headers: Mapping[str, str] | None = None
) -> func.HttpResponse:
    """A file of the pages: 304 if the browser has it, compressed if the browser accepts that."""
    if file is None:
        text = "Not found. web/README.md describes how the page is built."
        return func.HttpResponse(text, status_code=404)
    # The tag is weak: plain and compressed, the file has the same one.
    sent = {**assets.HEADERS, **(headers or {}), "ETag": quote_etag(file.etag, weak=True)}
    if parse_etags(req.headers.get("if-none-match")).contains_weak(file.etag):
        return func.HttpResponse(status_code=304, headers=sent)
    if not parse_accept_header(req.headers.get("accept-encoding"))["gzip"]:
        return func.HttpResponse(file.content, mimetype=file.type, headers=sent)
    sent["Content-Encoding"] = "gzip"
    return func.HttpResponse(file.compressed, mimetype=file.type, headers=sent)


@endpoint(bp, "GET", "api/health", Access.PUBLIC, response=HealthStatus, head=True)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Get whether storage and service are available; the report is at most 5 s old."""
    report = await reported_health().report()
    return json_response(HealthStatus(report.status), _status_code(report))


@endpoint(bp, "GET", "api/health/details", Access.SERVER, response=HealthReport, head=True)
async def health_details(req: func.HttpRequest) -> func.HttpResponse:
    """Get the same with the result of each check and the age of each stream's last frame."""
    report = await reported_health().report()
    return json_response(report, _status_code(report))


def _status_code(report: HealthReport) -> int:
    return 200 if report.status == "ok" else 503


@endpoint(bp, "GET", "api/openapi.json", Access.PUBLIC, documented=False, head=True)
async def api_document(req: func.HttpRequest) -> func.HttpResponse:
    """Get the OpenAPI document."""
    from pages import openapi  # no other function needs it, and its import takes 5 ms

    return json_response(openapi.document())


@endpoint(bp, "GET", "api/docs", Access.PUBLIC, documented=False, head=True)
async def api_reference(req: func.HttpRequest) -> func.HttpResponse:
    """Get the API reference: Swagger UI, which reads the OpenAPI document."""
    policy = assets.content_security_policy()
    return _send_file(req, assets.read_file("api-docs.html"), {"Content-Security-Policy": policy})
