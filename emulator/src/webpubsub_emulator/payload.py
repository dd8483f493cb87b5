"""What people say: a payload of one of four kinds, and the metadata that may travel with it."""

import base64
import binascii
import codecs
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

TEXT, JSON, BINARY, PROTOBUF = "text", "json", "binary", "protobuf"

METADATA_HEADER = "x-webpubsub-metadata-"
_METADATA_KEY = re.compile(r"[!#$%&'*+\-.^_|~`0-9A-Za-z]{1,256}")
_LONGEST_METADATA_VALUE = 1024
_LONGEST_METADATA = 8 * 1024

_KIND_OF_CONTENT_TYPE = {
    "text/plain": TEXT,
    "application/json": JSON,
    "application/octet-stream": BINARY,
    "application/x-protobuf": PROTOBUF,
}
_CONTENT_TYPE_OF_KIND = {
    TEXT: "text/plain; charset=utf-8",
    JSON: "application/json",
    BINARY: "application/octet-stream",
    PROTOBUF: "application/x-protobuf",
}


class InvalidPayloadError(ValueError):
    """The words do not fit the kind that they claim to be."""


class UnsupportedContentTypeError(ValueError):
    """A Content-Type that names no kind of payload."""


@dataclass(frozen=True, slots=True)
class Payload:
    """`body` holds UTF-8 for text, the JSON token exactly as it came for json, plain bytes else."""

    kind: str
    body: bytes
    metadata: Mapping[str, str] | None = None

    @property
    def content_type(self) -> str:
        return _CONTENT_TYPE_OF_KIND[self.kind]

    @property
    def is_text(self) -> bool:
        """Does a raw client hear it as a text frame?"""
        return self.kind in (TEXT, JSON)

    def as_json(self) -> bytes:
        """The `data` of a JSON frame."""
        if self.kind == JSON:
            return self.body
        if self.kind == TEXT:
            return msgspec.json.encode(self.body.decode())
        return b'"' + base64.b64encode(self.body) + b'"'


def from_json(kind: str | None, data: bytes, metadata: bytes = b"") -> Payload:
    """Read `dataType`, `data` and `metadata` of a client's JSON message; empty means absent."""
    marks = read_metadata(metadata)
    if not data:
        if marks is None:
            raise InvalidPayloadError("data is missing")
        return Payload(TEXT, b"", marks)
    kind = (kind or JSON).lower()
    if kind == JSON:
        return Payload(JSON, checked_json(data), marks)
    if kind not in _CONTENT_TYPE_OF_KIND:
        raise InvalidPayloadError(f"unknown dataType {kind!r}")
    words = msgspec.json.decode(data, type=str)
    if kind == TEXT:
        return Payload(TEXT, words.encode(), marks)
    try:
        return Payload(kind, base64.b64decode(words, validate=True), marks)
    except (binascii.Error, ValueError) as error:
        raise InvalidPayloadError("data is not base64") from error


def from_body(content_type: str | None, body: bytes, metadata: Mapping[str, str] | None) -> Payload:
    """Read the body of an HTTP message; without a Content-Type it is binary."""
    kind, charset = _kind_and_charset(content_type)
    if kind in (TEXT, JSON):
        body = _as_utf8(body, charset)
    if kind == JSON:
        checked_json(body, null_allowed=True)
    return Payload(kind, body, metadata)


def checked_json(token: bytes, *, null_allowed: bool = False) -> bytes:
    """Is it JSON, all of it? It is passed on as it is, so nobody else would notice."""
    try:
        value = msgspec.json.decode(token)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidPayloadError("not a valid JSON") from error
    if value is None and not null_allowed:
        raise InvalidPayloadError("null is no data")
    return token


def read_metadata(raw: bytes) -> dict[str, str] | None:
    """Read a `metadata` object; a key given twice is an error, which dict() would hide."""
    if raw in (b"", b"null"):
        return None
    try:
        pairs = json.loads(raw, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise InvalidPayloadError("metadata is not JSON") from error
    if not raw.lstrip().startswith(b"{") or not all(isinstance(pair[1], str) for pair in pairs):
        raise InvalidPayloadError("metadata is not an object of strings")
    if len({key for key, _ in pairs}) < len(pairs):
        raise InvalidPayloadError("a metadata key comes twice")
    return checked_metadata(dict(pairs))


def metadata_of_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str] | None:
    """Collect X-WebPubSub-Metadata-* headers; of several, the last one and its last part counts."""
    marks = {
        name[len(METADATA_HEADER) :].lower(): value.rpartition(",")[2].strip()
        for name, value in headers
        if name.lower().startswith(METADATA_HEADER)
    }
    return checked_metadata(marks)


def checked_metadata(marks: dict[str, str]) -> dict[str, str] | None:
    for key, value in marks.items():
        if not _METADATA_KEY.fullmatch(key):
            raise InvalidPayloadError(f"metadata key {key[:40]!r} is not a token")
        if not value.isascii() or len(value) > _LONGEST_METADATA_VALUE:
            raise InvalidPayloadError(f"the value of metadata key {key!r} is not short ASCII")
    if sum(len(key) + len(value) for key, value in marks.items()) > _LONGEST_METADATA:
        raise InvalidPayloadError("metadata is larger than 8 KiB")
    return marks or None


def _kind_and_charset(content_type: str | None) -> tuple[str, str]:
    if not content_type:
        return BINARY, "utf-8"
    media_type, *parameters = (part.strip() for part in content_type.split(";"))
    kind = _KIND_OF_CONTENT_TYPE.get(media_type.lower())
    if kind is None or kind == PROTOBUF:
        raise UnsupportedContentTypeError(content_type)
    charset = "utf-8"
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"')
    try:
        codecs.lookup(charset)
    except (LookupError, ValueError) as error:
        raise UnsupportedContentTypeError(content_type) from error
    return kind, charset


def _as_utf8(body: bytes, charset: str) -> bytes:
    try:
        return body.decode(charset).encode()
    except (UnicodeError, LookupError, ValueError) as error:
        raise InvalidPayloadError(f"the body is not {charset}") from error
