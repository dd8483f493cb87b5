"""Message payloads of the four data types, and the metadata of a message."""

import base64
import binascii
import codecs
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

TEXT, JSON, BINARY, PROTOBUF = "text", "json", "binary", "protobuf"

METADATA_HEADER_PREFIX = "x-webpubsub-metadata-"
_METADATA_KEY = re.compile(r"[!#$%&'*+\-.^_|~`0-9A-Za-z]{1,256}")
_MAX_METADATA_VALUE_BYTES = 1024
_MAX_METADATA_BYTES = 8 * 1024

_TYPE_OF_CONTENT_TYPE = {
    "text/plain": TEXT,
    "application/json": JSON,
    "application/octet-stream": BINARY,
    "application/x-protobuf": PROTOBUF,
}
_CONTENT_TYPE_OF_TYPE = {
    TEXT: "text/plain; charset=utf-8",
    JSON: "application/json",
    BINARY: "application/octet-stream",
    PROTOBUF: "application/x-protobuf",
}


class InvalidPayloadError(ValueError):
    """The data does not fit its data type."""


class UnsupportedContentTypeError(ValueError):
    """A Content-Type that stands for no data type."""


@dataclass(frozen=True, slots=True)
class Payload:
    """One message's data.

    `body` is UTF-8 for text, the JSON token byte for byte for json, and plain bytes otherwise.
    """

    data_type: str
    body: bytes
    metadata: Mapping[str, str] | None = None

    @property
    def content_type(self) -> str:
        return _CONTENT_TYPE_OF_TYPE[self.data_type]

    @property
    def is_text_frame(self) -> bool:
        """Whether a raw client receives a text frame."""
        return self.data_type in (TEXT, JSON)

    def encode_json(self) -> bytes:
        """Return the `data` property of a JSON message."""
        if self.data_type == JSON:
            return self.body
        if self.data_type == TEXT:
            return msgspec.json.encode(self.body.decode())
        return b'"' + base64.b64encode(self.body) + b'"'


def payload_from_json(data_type: str | None, data: bytes, metadata: bytes = b"") -> Payload:
    """Read `dataType`, `data` and `metadata` of a client's JSON message; empty means absent."""
    entries = parse_metadata(metadata)
    if not data:
        if entries is None:
            raise InvalidPayloadError("data is missing")
        return Payload(TEXT, b"", entries)
    data_type = (data_type or JSON).lower()
    if data_type == JSON:
        return Payload(JSON, check_json(data), entries)
    if data_type not in _CONTENT_TYPE_OF_TYPE:
        raise InvalidPayloadError(f"unknown dataType {data_type[:40]!r}")
    text = msgspec.json.decode(data, type=str)
    if data_type == TEXT:
        return Payload(TEXT, text.encode(), entries)
    try:
        return Payload(data_type, base64.b64decode(text, validate=True), entries)
    except (binascii.Error, ValueError) as error:
        raise InvalidPayloadError("data is not base64") from error


def payload_from_body(
    content_type: str | None, body: bytes, metadata: Mapping[str, str] | None
) -> Payload:
    """Read the body of an HTTP message; without a Content-Type it is binary."""
    data_type, charset = _parse_content_type(content_type)
    if data_type in (TEXT, JSON):
        body = _to_utf8(body, charset)
    if data_type == JSON:
        check_json(body, null_allowed=True)
    return Payload(data_type, body, metadata)


def check_json(token: bytes, *, null_allowed: bool = False) -> bytes:
    """Return the token if it is valid JSON; it is delivered without being encoded again."""
    try:
        value = msgspec.json.decode(token)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidPayloadError("not a valid JSON") from error
    if value is None and not null_allowed:
        raise InvalidPayloadError("data is null")
    return token


def parse_metadata(raw: bytes) -> dict[str, str] | None:
    """Read a `metadata` object. A repeated key is an error, which a dict would hide."""
    if raw in (b"", b"null"):
        return None
    try:
        pairs = json.loads(raw, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise InvalidPayloadError("metadata is not JSON") from error
    if not raw.lstrip().startswith(b"{") or not all(isinstance(pair[1], str) for pair in pairs):
        raise InvalidPayloadError("metadata is not an object of strings")
    if len({key for key, _ in pairs}) < len(pairs):
        raise InvalidPayloadError("a metadata key is repeated")
    return _check_metadata(dict(pairs))


def metadata_from_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str] | None:
    """Collect the X-WebPubSub-Metadata-* headers.

    Of a repeated header the last one counts, and of its comma-separated parts the last one. A
    header whose name ends after the prefix is ignored.
    """
    entries = {
        name[len(METADATA_HEADER_PREFIX) :].lower(): value.rpartition(",")[2].strip()
        for name, value in headers
        if name.lower().startswith(METADATA_HEADER_PREFIX)
    }
    entries.pop("", None)
    return _check_metadata(entries)


def _check_metadata(entries: dict[str, str]) -> dict[str, str] | None:
    for key, value in entries.items():
        if not _METADATA_KEY.fullmatch(key):
            raise InvalidPayloadError(f"metadata key {key[:40]!r} is not a token")
        if not value.isascii() or len(value) > _MAX_METADATA_VALUE_BYTES:
            raise InvalidPayloadError(
                f"the value of metadata key {key!r} is not ASCII of up to 1024 bytes"
            )
    if sum(len(key) + len(value) for key, value in entries.items()) > _MAX_METADATA_BYTES:
        raise InvalidPayloadError("metadata is larger than 8 KiB")
    return entries or None


def _parse_content_type(content_type: str | None) -> tuple[str, str]:
    """Return data type and charset."""
    if not content_type:
        return BINARY, "utf-8"
    media_type, *parameters = (part.strip() for part in content_type.split(";"))
    data_type = _TYPE_OF_CONTENT_TYPE.get(media_type.lower())
    if data_type is None or data_type == PROTOBUF:
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
    return data_type, charset


def _to_utf8(body: bytes, charset: str) -> bytes:
    try:
        return body.decode(charset).encode()
    except (UnicodeError, LookupError, ValueError) as error:
        raise InvalidPayloadError(f"the body is not {charset}") from error
