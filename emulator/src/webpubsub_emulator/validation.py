"""Which addresses agreed to hear from us: asked before the first event, and asked again later."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_BELIEVED_SECONDS = 60.0
# The service waits up to a minute; on a desk the application is restarted all the time.
_LONGEST_PAUSE = 5.0


@dataclass(slots=True)
class _Consent:
    """What one address said last, and when to ask it again."""

    question: asyncio.Task[bool]
    given: bool | None = None
    due: float = 0.0
    failures: int = 0


class Consents:
    """`ask` puts the question to an address; the answers are remembered here."""

    def __init__(self, ask: Callable[[str], Awaitable[bool]], clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._known: dict[str, _Consent] = {}

    async def given(self, url: str) -> bool:
        """Does this address want our events? All who ask at once wait for one question."""
        consent = self._known.get(url)
        if consent is None:
            consent = self._known[url] = _Consent(self._put(url))
        elif consent.question.done() and self._clock() >= consent.due:
            consent.question = self._put(url)
            # Who agreed before is believed while it is asked again; who did not is not.
            consent.given = consent.given or None
        if consent.given is None:
            await asyncio.shield(consent.question)
        return consent.given is True

    def forget_refusals(self) -> None:
        """The settings changed: who refused may be asked at once."""
        for consent in self._known.values():
            if consent.given is False:
                consent.due = 0.0

    def stop(self) -> None:
        for consent in self._known.values():
            consent.question.cancel()

    def _put(self, url: str) -> asyncio.Task[bool]:
        return asyncio.get_running_loop().create_task(self._question(url))

    async def _question(self, url: str) -> bool:
        given = await self._ask(url)
        consent = self._known[url]
        consent.given = given
        consent.failures = 0 if given else consent.failures + 1
        pause = _BELIEVED_SECONDS if given else min(2.0 ** (consent.failures - 1), _LONGEST_PAUSE)
        consent.due = self._clock() + pause
        return given
