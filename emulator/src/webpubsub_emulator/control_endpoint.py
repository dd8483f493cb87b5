"""The control endpoint: tests in other processes add faults, advance the clock, set handlers."""

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from webpubsub_emulator.faults import Fault
from webpubsub_emulator.local_access import Handle, local_only
from webpubsub_emulator.settings import read_settings

if TYPE_CHECKING:
    from webpubsub_emulator.server import Server

PREFIX = "/emulator"


class ControlEndpoint:
    """Runs a command on the server: POST /emulator/{command} with a JSON object."""

    def __init__(self, server: "Server") -> None:
        self._server = server

    def add_routes(self, router: web.UrlDispatcher, *, allow_remote: bool) -> None:
        commands: dict[str, Handle] = {
            "faults": self._add_fault,
            "drop-connections": self._drop_connections,
            "clock": self._advance_clock,
            "settings": self._configure,
            "rotate-key": self._rotate_key,
        }
        for name, handle in commands.items():
            router.add_post(f"{PREFIX}/{name}", local_only(handle, allow_remote=allow_remote))

    async def _add_fault(self, request: web.Request) -> web.Response:
        """`{"target", "action", "count"?, "seconds"?, "status"?}`"""
        try:
            self._server.faults.add(Fault(**await _read_object(request)))
        except (TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return web.Response(status=204)

    async def _drop_connections(self, request: web.Request) -> web.Response:
        """`{"hub"?, "user_id"?}`; the response has the number of aborted sockets."""
        try:
            dropped = self._server.drop_connections(**await _read_object(request))
        except TypeError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return web.json_response({"dropped": dropped})

    async def _advance_clock(self, request: web.Request) -> web.Response:
        """`{"seconds"}`"""
        try:
            self._server.advance_clock(**await _read_object(request))
        except (TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return web.Response(status=204)

    async def _configure(self, request: web.Request) -> web.Response:
        """A settings document, as in the settings file."""
        try:
            self._server.configure(read_settings(await _read_object(request)))
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return web.Response(status=204)

    async def _rotate_key(self, request: web.Request) -> web.Response:
        """`{"withdraw"?}`"""
        if self._server.issuer is None:
            raise web.HTTPBadRequest(text="There is no local issuer: start with --entra.")
        withdraw = (await _read_object(request)).get("withdraw") is True
        self._server.issuer.rotate_key(withdraw=withdraw)
        return web.Response(status=204)


async def _read_object(request: web.Request) -> dict[str, Any]:
    try:
        document = json.loads(await request.read() or b"{}")
    except (ValueError, RecursionError) as error:
        raise web.HTTPBadRequest(text=f"The body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise web.HTTPBadRequest(text="The body is not a JSON object.")
    return document
