"""JSON files as the real host reads them: comments are allowed, and a byte order mark."""

import json
import re
from pathlib import Path
from typing import Any

from local.functions.errors import LoadError

# A string is matched first, so that "//" inside of it stays.
_STRING_OR_COMMENT = re.compile(r'("(?:[^"\\\n]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)


def read_json_object(file: Path) -> dict[str, Any]:
    """The object in a file, or an empty one where there is no file. Raises LoadError."""
    if not file.exists():
        return {}
    try:
        text = file.read_text(encoding="utf-8-sig")
        content = json.loads(_STRING_OR_COMMENT.sub(_blank_comment, text))
    except (OSError, ValueError, RecursionError) as error:
        raise LoadError(f"{file} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise LoadError(f"{file} holds {type(content).__name__}; expected a JSON object")
    return content


def _blank_comment(found: re.Match[str]) -> str:
    """Keeps strings and line breaks, so that an error still names the right line."""
    return found[1] or re.sub(r"[^\n]", " ", found[0])
