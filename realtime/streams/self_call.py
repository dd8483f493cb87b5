"""Calls the app's own function that continues a run, and does not wait for its response."""

import asyncio
import logging
from functools import cache
from typing import Any

import aiohttp

from realtime.settings import own_address

SEND_TIMEOUT_SECONDS = 3.0
"""Until the request is sent, connecting included."""

CALL_TIMEOUT_SECONDS = 120.0

logger = logging.getLogger(__name__)


class SelfCaller:
    """Sends requests to `address`, the app's own. With no address nothing is sent."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._session: aiohttp.ClientSession | None = None
        self._calls: set[asyncio.Task[None]] = set()

    async def call(self, stream_name: str, run_id: str, until: float) -> bool:
        """Whether the request was sent.

        The connection stays open until the response arrives, so the platform sees no client that
        disconnects. Nothing depends on the response, so the instance may be frozen meanwhile.
        """
        if self._address is None:
            return False
        sent = asyncio.Event()
        call = asyncio.create_task(self._post(stream_name, run_id, until, sent))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        waiter = asyncio.create_task(sent.wait())
        await asyncio.wait(
            {call, waiter}, timeout=SEND_TIMEOUT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        waiter.cancel()
        return sent.is_set()

    async def _post(self, stream_name: str, run_id: str, until: float, sent: asyncio.Event) -> None:
        url = f"{self._address}/api/streams/{stream_name}/run"
        body = {"run_id": run_id, "until": until}
        try:
            async with self._open_session().post(
                url, json=body, trace_request_ctx=sent
            ) as response:
                if response.status >= 400:
                    logger.warning("The app's own address returned %d.", response.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            logger.warning("The app's own address failed: %s.", type(error).__name__)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_chunk_sent.append(_set_sent)
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_SECONDS), trace_configs=[trace]
            )
        return self._session

    async def close(self) -> None:
        for call in self._calls:
            call.cancel()
        if self._session:
            await self._session.close()


async def _set_sent(_session: aiohttp.ClientSession, context: Any, _parameters: Any) -> None:
    context.trace_request_ctx.set()


@cache
def self_caller() -> SelfCaller:
    """The self-caller of this process."""
    return SelfCaller(own_address())
