"""Validation of the contents of messages, and of the titles and topics of rooms."""

import unicodedata
from collections.abc import Sequence
from typing import Any

import msgspec

from realtime.errors import ApiError
from realtime.names import validate_user_id
from realtime.visibility import is_visible, remove_invisible

MAX_CONTENT_UNITS = 4_000
"""The longest content, in UTF-16 units: Table Storage counts a string property that way."""

MAX_META_BYTES = 4_096
MAX_MENTIONS = 20
MAX_TITLE_CHARACTERS = 80
MAX_TOPIC_CHARACTERS = 500
MAX_EMOJI_CHARACTERS = 32
"""The longest emoji sequence has 14 code points (unicode.org/Public/emoji)."""


def validate_content(content: str) -> str:
    """The content itself. Raises ApiError for a blank, too long or invalid text."""
    if not is_visible(content):
        raise ApiError("empty_content", "The content is empty.")
    try:
        units = len(content.encode("utf-16-le")) // 2
    except UnicodeEncodeError:
        raise ApiError("invalid_text", "The content has a surrogate without its pair.") from None
    if units > MAX_CONTENT_UNITS:
        raise ApiError(
            "content_too_long",
            f"The content has {units} UTF-16 units; at most {MAX_CONTENT_UNITS} are allowed.",
        )
    return content


def encode_meta(meta: dict[str, Any]) -> str:
    """Metadata as JSON text, "" if there is none. Raises ApiError `meta_too_large`."""
    if not meta:
        return ""
    text = msgspec.json.encode(meta).decode()
    size = len(text.encode())
    if size > MAX_META_BYTES:
        raise ApiError(
            "meta_too_large",
            f"The metadata has {size} bytes; at most {MAX_META_BYTES} are allowed.",
        )
    return text


def validate_mentions(mentions: Sequence[str]) -> tuple[str, ...]:
    """User ids without repetitions. Raises ApiError."""
    unique = tuple(dict.fromkeys(map(validate_user_id, mentions)))
    if len(unique) > MAX_MENTIONS:
        raise ApiError("invalid_request", f"A message mentions at most {MAX_MENTIONS} users.")
    return unique


def validate_emoji(text: str) -> str:
    """One emoji sequence of the Unicode data. Raises ApiError `invalid_emoji`."""
    from emoji import is_emoji  # its data takes 30 ms to import

    if len(text) > MAX_EMOJI_CHARACTERS or not is_emoji(text):
        raise ApiError("invalid_emoji", "The reaction is not one emoji.")
    return text


def validate_title(text: str) -> str:
    """A room's title in NFC, "" for none. Raises ApiError `invalid_title`."""
    return _validate_line(text, MAX_TITLE_CHARACTERS, "invalid_title", "A title")


def validate_topic(text: str) -> str:
    """A room's topic in NFC, "" for none. Raises ApiError `invalid_topic`."""
    return _validate_line(text, MAX_TOPIC_CHARACTERS, "invalid_topic", "A topic")


def _validate_line(text: str, max_characters: int, code: str, what: str) -> str:
    line = unicodedata.normalize("NFC", text.strip(" "))
    if remove_invisible(line) != line:
        raise ApiError(code, f"{what} has no control or invisible characters.")
    if len(line) > max_characters:
        raise ApiError(code, f"{what} has at most {max_characters} characters.")
    return line
