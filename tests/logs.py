"""Private texts and log lines of a test run: no log line may contain a private text."""

from collections.abc import Iterable

from local.parts import ACCESS_KEY, TABLES_KEY
from realtime.settings import LOCAL_SECRET

MIN_TEXT_CHARACTERS = 8
"""Shorter texts are in logs by chance."""

lines: list[str] = []
"""Every log line of every instance of the app."""

_private: set[str] = {ACCESS_KEY, TABLES_KEY, LOCAL_SECRET}


def add_private_texts(*texts: str | None) -> None:
    """Register texts that no log may contain: a message, a token, a name."""
    _private.update(text for text in texts if text and len(text) >= MIN_TEXT_CHARACTERS)


def find_leaks(log: Iterable[str], besides: frozenset[str] = frozenset()) -> list[str]:
    """The private texts in a log, shortened, because the list is printed."""
    text_of_log = "\n".join(log)
    found = [text for text in _private - besides if text in text_of_log]
    return [f"{text[:6]}… ({len(text)} characters)" for text in found]
