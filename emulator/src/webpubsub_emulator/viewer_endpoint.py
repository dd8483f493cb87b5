"""The traffic viewer: one HTML page, the state of the hubs, and a feed of traffic entries."""

import base64
import hashlib
import json
import re
from pathlib import Path

from aiohttp import web

from webpubsub_emulator.local_access import local_only
from webpubsub_emulator.service import Service
from webpubsub_emulator.traffic import Traffic

MAX_LISTED = 200
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


class ViewerEndpoint:
    """Serves the page at /viewer. It loads nothing else but the state and the feed."""

    def __init__(self, traffic: Traffic, service: Service) -> None:
        self._traffic = traffic
        self._service = service
        self._page = Path(__file__).with_name("viewer.html").read_text("utf-8")
        self._headers = {
            "Content-Security-Policy": _content_security_policy(self._page),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }

    def add_routes(self, router: web.UrlDispatcher, *, allow_remote: bool) -> None:
        routes = {
            "/": self._redirect,
            "/viewer": self._get_page,
            "/viewer/state": self._get_state,
            "/viewer/feed": self._stream_feed,
        }
        for path, handle in routes.items():
            router.add_get(path, local_only(handle, allow_remote=allow_remote), allow_head=False)

    async def _redirect(self, _: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/viewer"})

    async def _get_page(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=self._page, content_type="text/html", headers=self._headers)

    async def _get_state(self, _: web.Request) -> web.StreamResponse:
        """The hubs with their first connections and largest groups."""
        hubs = []
        for hub in self._service.hubs.values():
            connections = [
                {
                    "id": connection.id,
                    "user": connection.user_id,
                    "protocol": connection.protocol,
                    "groups": sorted(connection.groups)[:20],
                    "detached": connection.detached_until is not None,
                }
                for connection in list(hub.connections.values())[:MAX_LISTED]
            ]
            sizes = sorted(
                ((len(members), name) for name, members in hub.groups.items()), reverse=True
            )
            groups = [{"name": name, "connections": size} for size, name in sizes[:MAX_LISTED]]
            hubs.append(
                {
                    "name": hub.name,
                    "connectionCount": len(hub.connections),
                    "groupCount": len(hub.groups),
                    "connections": connections,
                    "groups": groups,
                }
            )
        body = json.dumps({"hubs": hubs})
        return web.Response(text=body, content_type="application/json", headers=self._headers)

    async def _stream_feed(self, request: web.Request) -> web.StreamResponse:
        """The recorded and the new entries as server-sent events."""
        response = web.StreamResponse(headers=self._headers)
        response.content_type = "text/event-stream"
        last_id = request.headers.get("Last-Event-ID", "")
        after_id = int(last_id) if last_id.isascii() and last_id.isdigit() else 0
        await response.prepare(request)
        with self._traffic.subscribe(after_id) as subscriber:
            async for batch in subscriber.batches():
                lines = [b"id: %d\ndata: %b\n\n" % entry for entry in batch]
                if subscriber.lost:
                    lines.append(b"event: lost\ndata: %d\n\n" % subscriber.lost)
                await response.write(b"".join(lines))
        return response


def _content_security_policy(page: str) -> str:
    """Allow the page's own script and style by their hashes, and nothing else."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for tag, content in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        hashes[tag].append(f"'sha256-{digest}'")
    return (
        f"default-src 'none'; script-src {' '.join(hashes['script'])}; "
        f"style-src {' '.join(hashes['style'])}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
