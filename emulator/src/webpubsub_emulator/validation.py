"""Validation of event handler URLs (CloudEvents abuse protection), and its results.

https://learn.microsoft.com/azure/azure-web-pubsub/howto-develop-eventhandler#upstream-and-validation
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_SUCCESS_CACHE_SECONDS = 60.0
# The service waits up to a minute; local applications are restarted more often.
_MAX_RETRY_DELAY_SECONDS = 5.0


@dataclass(slots=True)
class _Result:
    """The last result for one URL, and when to validate it again."""

    task: asyncio.Task[bool]
    is_valid: bool | None = None
    due_at: float = 0.0
    failures: int = 0


class ValidationCache:
    """Validates each URL with `validate` before its first event, and repeats that later."""

    def __init__(
        self, validate: Callable[[str], Awaitable[bool]], clock: Callable[[], float]
    ) -> None:
        self._validate = validate
        self._clock = clock
        self._results: dict[str, _Result] = {}

    async def is_valid(self, url: str) -> bool:
        """Return whether the URL accepts events; concurrent callers share one validation."""
        result = self._results.get(url)
        if result is None:
            result = self._results[url] = _Result(self._start(url))
        elif result.task.done() and self._clock() >= result.due_at:
            result.task = self._start(url)
            # A success stays in force while it is checked again; a failure does not.
            result.is_valid = result.is_valid or None
        if result.is_valid is None:
            await asyncio.shield(result.task)
        return result.is_valid is True

    def retry_failures(self) -> None:
        """Validate failed URLs again with their next event, since the settings changed."""
        for result in self._results.values():
            if result.is_valid is False:
                result.due_at = 0.0

    def stop(self) -> None:
        for result in self._results.values():
            result.task.cancel()

    def _start(self, url: str) -> asyncio.Task[bool]:
        return asyncio.get_running_loop().create_task(self._run(url))

    async def _run(self, url: str) -> bool:
        is_valid = await self._validate(url)
        result = self._results[url]
        result.is_valid = is_valid
        result.failures = 0 if is_valid else result.failures + 1
        retry_delay = min(2.0 ** (result.failures - 1), _MAX_RETRY_DELAY_SECONDS)
        result.due_at = self._clock() + (_SUCCESS_CACHE_SECONDS if is_valid else retry_delay)
        return is_valid
