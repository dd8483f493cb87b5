"""Display names: what people read. Any script, 1 to 40 characters, none of them invisible."""

import unicodedata
from functools import cache

from realtime.errors import ApiError
from realtime.visibility import remove_invisible

MAX_NAME_CHARACTERS = 40

RESERVED_NAMES = frozenset({"system"})
"""Names under which only servers send."""


def validate_display_name(text: str) -> str:
    """The name in NFC, with single spaces. Raises ApiError `invalid_name`."""
    name = _normalize(text)
    if remove_invisible(name) != name:
        raise ApiError("invalid_name", "A name has no control or invisible characters.")
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
        raise ApiError("invalid_name", f"A name has 1 to {MAX_NAME_CHARACTERS} characters.")
    check_not_reserved(name)
    return name


def check_not_reserved(text: str) -> None:
    """Raises ApiError `invalid_name` if the nearest valid name is a reserved one."""
    if is_reserved(_clean(text)):
        raise ApiError("invalid_name", "This name is reserved; choose another.")


def clean_display_name(text: str, default: str) -> str:
    """The nearest valid name, or `default` if nothing is left or the name is reserved."""
    name = _clean(text)
    return name if name and not is_reserved(name) else default


def _clean(text: str) -> str:
    """The nearest valid name, which may be a reserved one; empty if nothing is left."""
    name = _normalize(remove_invisible(_normalize(text[: 10 * MAX_NAME_CHARACTERS])))
    return remove_invisible(name[:MAX_NAME_CHARACTERS].rstrip())


def is_reserved(name: str) -> bool:
    """Whether a reader may take the name for a reserved one."""
    letters = [
        one for one in unicodedata.normalize("NFKD", name) if unicodedata.category(one)[0] in "LNS"
    ]
    return make_skeleton("".join(letters)) in {make_skeleton(one) for one in RESERVED_NAMES}


def make_skeleton(name: str) -> str:
    """What a reader sees, without case: names that look alike have the same skeleton.

    The pairs of look-alikes are those of Unicode: www.unicode.org/reports/tr39, section 4.
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(_ascii_look_alike(one) for one in folded).casefold().replace(" ", "")


def _normalize(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


@cache
def _ascii_look_alike(character: str) -> str:
    """The ASCII letter or digit that a character looks like, or the character itself.

    0 and 1 look like letters too, so that `adm1n` and `admin` have one skeleton.
    """
    if character in _LETTERS_OF_DIGITS:
        return _LETTERS_OF_DIGITS[character]
    if character.isascii():
        return character
    from confusable_homoglyphs.confusables import confusables_data  # takes 30 ms

    alike = {str(one["c"]) for one in confusables_data.get(character, ())}
    plain = sorted(one.casefold() for one in alike if len(one) == 1 and one.isascii())
    letters = [one for one in plain if one.isalnum()]
    return _LETTERS_OF_DIGITS.get(letters[-1], letters[-1]) if letters else character


_LETTERS_OF_DIGITS = {"0": "o", "1": "l", "i": "l", "|": "l"}
