"""The operations of a transaction, and how they are encoded."""

import base64
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec
from azure.data.tables import EdmType

Entity = Mapping[str, Any]
"""A row: PartitionKey, RowKey and values, each a Python value or an EntityProperty with its type,
as azure-data-tables takes them. A plain int is an Edm.Int32."""


class Insert(msgspec.Struct, frozen=True):
    """Fails with 409 where the row exists."""

    entity: Entity

    @property
    def partition_key(self) -> str:
        return _key(self.entity, "PartitionKey")


class Replace(msgspec.Struct, frozen=True):
    """Writes a row whole. With an etag the row must have it, else 404 or 412."""

    entity: Entity
    etag: str | None = None

    @property
    def partition_key(self) -> str:
        return _key(self.entity, "PartitionKey")


class Merge(msgspec.Struct, frozen=True):
    """Writes some values of a row and leaves its others; the etag is as in Replace."""

    entity: Entity
    etag: str | None = None

    @property
    def partition_key(self) -> str:
        return _key(self.entity, "PartitionKey")


class Delete(msgspec.Struct, frozen=True):
    """Fails with 404 where the row does not exist, with 412 where it has another etag."""

    partition_key: str
    row_key: str
    etag: str = "*"


Operation = Insert | Replace | Merge | Delete

_VERSION = "DataServiceVersion: 3.0\r\n"
_ACCEPT = "Accept: application/json;odata=minimalmetadata\r\n"
_NO_ECHO = "Prefer: return-no-content\r\n"  # Otherwise the response to an insert has the whole row.


def encode_operation(table_url: str, operation: Operation) -> bytes:
    """The HTTP request of one operation, in a batch."""
    if isinstance(operation, Delete):
        row = row_url(table_url, operation.partition_key, operation.row_key)
        condition = _condition(operation.etag)
        return f"DELETE {row} HTTP/1.1\r\n{_VERSION}{_ACCEPT}{condition}\r\n\r\n".encode()
    body = encode_entity(operation.entity)
    headers = (
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{_VERSION}{_ACCEPT}"
    )
    row_key = _key(operation.entity, "RowKey")
    if isinstance(operation, Insert):
        request = f"POST {table_url} HTTP/1.1\r\n{headers}{_NO_ECHO}\r\n"
    else:
        method = "PUT" if isinstance(operation, Replace) else "PATCH"
        row = row_url(table_url, operation.partition_key, row_key)
        condition = "" if operation.etag is None else _condition(operation.etag)
        request = f"{method} {row} HTTP/1.1\r\n{headers}{condition}\r\n"
    return request.encode() + body + b"\r\n"


def row_url(table_url: str, partition_key: str, row_key: str) -> str:
    """A row's address; a quote inside of a key is written twice."""
    partition, row = (quote(key.replace("'", "''"), safe="") for key in (partition_key, row_key))
    return f"{table_url}(PartitionKey='{partition}',RowKey='{row}')"


def _condition(etag: str) -> str:
    if not etag or not etag.isprintable() or not etag.isascii():
        raise ValueError("An etag is a line of printable ASCII.")
    return f"If-Match: {etag}\r\n"


def _key(entity: Entity, name: str) -> str:
    key = entity.get(name)
    if not isinstance(key, str):
        raise TypeError(f"A row needs a {name}, which is a string.")
    return key


# --- entities -----------------------------------------------------------------------------------


def encode_entity(entity: Entity) -> bytes:
    """A row as JSON, in ASCII: the service has no rule for the charset inside of a batch.

    learn.microsoft.com/rest/api/storageservices/payload-format-for-table-service-operations
    """
    properties: dict[str, Any] = {}
    for name, value in entity.items():
        if type(value) is str:  # most of them
            properties[name] = value
        elif value is not None:
            _add_property(properties, name, value)
    encoded = msgspec.json.encode(properties)
    return encoded if encoded.isascii() else json.dumps(properties).encode()


def _add_property(properties: dict[str, Any], name: str, value: Any) -> None:
    edm_type: str | None
    if isinstance(value, tuple):  # an EntityProperty
        value, edm_type = value[0], EdmType(value[1]).value
        if value is None:
            return
    elif isinstance(value, datetime):  # What was read is of a subclass.
        edm_type = "Edm.DateTime"
    else:
        edm_type = _EDM_TYPES.get(type(value))
    if edm_type is None:
        raise TypeError(f"{name}: a value of type {type(value).__name__} cannot be stored.")
    encode, declare = _ENCODERS[edm_type]
    properties[name] = encode(value)
    if declare:
        properties[f"{name}@odata.type"] = edm_type


def _encode_integer(value: Any, bits: int) -> int:
    number = int(value)
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise TypeError(f"{number} does not fit into {bits} bits.")
    return number


def _encode_float(value: float) -> float | str:
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _encode_datetime(value: datetime | str) -> str:
    """In UTC, with the digits that a value had when it was read: more than a datetime can hold."""
    if isinstance(value, str):
        return value
    read = getattr(value, "tables_service_value", "")
    return read or value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


_EDM_TYPES: dict[type, str] = {
    bool: "Edm.Boolean",
    int: "Edm.Int32",
    float: "Edm.Double",
    bytes: "Edm.Binary",
    UUID: "Edm.Guid",
}

_ENCODERS: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "Edm.String": (str, False),
    "Edm.Boolean": (bool, False),
    "Edm.Int32": (lambda value: _encode_integer(value, 32), False),
    "Edm.Int64": (lambda value: str(_encode_integer(value, 64)), True),
    "Edm.Double": (_encode_float, True),
    "Edm.Binary": (lambda value: base64.b64encode(value).decode(), True),
    "Edm.DateTime": (_encode_datetime, True),
    "Edm.Guid": (str, True),
}
"""For each type how a value is written, and whether its JSON form needs the type beside it."""
