"""What a reader sees of a text."""

import unicodedata
from collections.abc import Iterator

_ZERO_WIDTH_JOINER = "\u200d"
_ZERO_WIDTH_NON_JOINER = "\u200c"
_EMOJI_STYLE = "\ufe0f"

_BLANK_SYMBOLS = frozenset("\u115f\u1160\u2800\u3164\uffa0\U0001d159")
"""Letters and symbols that fonts draw as nothing."""

_INVISIBLE_MARKS = frozenset("\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f")
"""Marks that are drawn as nothing, beside the variation selectors."""


def is_visible(text: str) -> bool:
    """Whether a reader sees anything of a text."""
    return any(not character.isspace() for character in _shown(text))


def remove_invisible(text: str) -> str:
    """The text without control characters and without what is drawn as nothing."""
    return "".join(_shown(text))


def _shown(text: str) -> Iterator[str]:
    return (
        character
        for index, character in enumerate(text)
        if _is_shown(character, text[index - 1 : index], text[index + 1 : index + 2])
    )


def _is_shown(character: str, before: str, after: str) -> bool:
    """Whether a character is drawn, or changes how its neighbours are drawn."""
    if character == _EMOJI_STYLE:
        return before != "" and _category(before) in {"So", "Sm", "Po", "Nd"}
    if character == _ZERO_WIDTH_JOINER:
        return after != "" and _category(after) in {"So", "Lo", "Mn", "Mc"} and before != ""
    if character == _ZERO_WIDTH_NON_JOINER:
        return bool(before and after) and _category(before)[0] in "LM" and _category(after) == "Lo"
    return not _is_invisible(character)


def _is_invisible(character: str) -> bool:
    if character in _BLANK_SYMBOLS or character in _INVISIBLE_MARKS:
        return True
    if "\ufe00" <= character <= "\ufe0f" or "\U000e0000" <= character <= "\U000e0fff":
        return True  # Variation selectors and tag characters.
    # Unassigned characters are shown: they may be emoji newer than this Python's Unicode data.
    return _category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def _category(character: str) -> str:
    return unicodedata.category(character)
