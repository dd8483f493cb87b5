"""Request paths as Kestrel, the web server of the real host, gives them to the routes."""

import re

# Consecutive escapes together: one character may be several of them.
_ESCAPES = re.compile(r"(?:%[0-9a-fA-F]{2})+")
_ENCODED_SLASH = re.compile(r"(%2[fF])")


def normalize_path(raw_path: str) -> str:
    """Percent-decoded and without dot segments; the leading slash stays away.

    An encoded slash stays as it was sent, inside its segment, and so do bytes that are not UTF-8.
    """
    path = raw_path.removeprefix("/")
    if "%" in path:
        pieces = _ENCODED_SLASH.split(path)
        pieces[::2] = [decode_escapes(piece) for piece in pieces[::2]]
        path = "".join(pieces)
    return _remove_dot_segments(path) if "." in path else path


def decode_escapes(text: str) -> str:
    """Decodes what is UTF-8; other bytes stay as they were sent."""
    return _ESCAPES.sub(_decode_run, text)


def _decode_run(found: re.Match[str]) -> str:
    text, decoded, escapes = found[0], "", bytes.fromhex(found[0].replace("%", ""))
    while escapes:
        try:
            return decoded + escapes.decode()
        except UnicodeDecodeError as error:
            done = len(text) // 3 - len(escapes)
            decoded += escapes[: error.start].decode()
            decoded += text[3 * (done + error.start) : 3 * (done + error.end)]
            escapes = escapes[error.end :]
    return decoded


def _remove_dot_segments(path: str) -> str:
    segments: list[str] = []
    parts = path.split("/")
    for part in parts:
        if part == "..":
            del segments[-1:]
        elif part != ".":
            segments.append(part)
    if parts[-1] in (".", "..") and segments:
        segments.append("")  # "a/." is the folder a
    return "/".join(segments)
