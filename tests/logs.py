"""What people said in this run and what was logged: the one must not be found in the other."""

from collections.abc import Iterable

from local.parts import ACCESS_KEY, TABLES_KEY
from realtime.settings import LOCAL_SECRET

SHORTEST = 8
"""A shorter text may stand in a log by chance."""

lines: list[str] = []
"""Every line that an instance of the app has logged."""

_private: set[str] = {ACCESS_KEY, TABLES_KEY, LOCAL_SECRET}


def add_private_texts(*texts: str | None) -> None:
    """Note what no log may hold: a text that somebody says, a token, a name."""
    _private.update(text for text in texts if text and len(text) >= SHORTEST)


def find_leaks(log: Iterable[str], besides: frozenset[str] = frozenset()) -> list[str]:
    """What should be private and was logged; cut short, for this list is printed too."""
    written = "\n".join(log)
    found = [text for text in _private - besides if text in written]
    return [f"{text[:6]}… ({len(text)} characters)" for text in found]
