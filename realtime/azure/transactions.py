"""Entity group transactions of Table Storage: up to 100 writes to one partition, all or none.

They are encoded and parsed here, since azure-data-tables needs 20 times as long for it, and sent
by azure-core's pipeline. Everything else goes through azure-data-tables. The format:
learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
"""

import re
import uuid
from collections.abc import Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from azure.core import AsyncPipelineClient
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceResponseError,
)
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.data.tables import RequestTooLargeError, TableTransactionError
from azure.data.tables.aio import TableServiceClient

from realtime.azure.operations import Operation, encode_operation
from realtime.azure.request_policies import make_policies
from realtime.azure.storage_policies import (
    Credential,
    DatePolicy,
    TransactionRetryPolicy,
    make_authentication_policy,
)
from realtime.azure.transport import make_transport

MAX_OPERATIONS = 100
MAX_BODY_BYTES = 4 * 1024 * 1024

API_VERSION = "2019-02-02"
"""The version of the REST API that azure-data-tables uses."""

E = TypeVar("E", bound=HttpResponseError)


class TransactionClient:
    """Sends transactions to one storage account."""

    def __init__(
        self,
        endpoint: str,
        credential: Credential | None,
        *,
        transport: AsyncHttpTransport[Any, Any] | None = None,
    ) -> None:
        """`endpoint` is the account's address for tables, path included (Azurite has one).

        The credential may be None where a shared access signature is part of the address.
        """
        address = urlsplit(endpoint)
        if address.scheme not in {"http", "https"} or not address.netloc:
            raise ValueError("The endpoint of Table Storage is an http or https address.")
        self._url = f"{address.scheme}://{address.netloc}{address.path.rstrip('/')}"
        self._batch_url = f"{self._url}/$batch" + (f"?{address.query}" if address.query else "")
        self._client: AsyncPipelineClient[HttpRequest, AsyncHttpResponse] = AsyncPipelineClient(
            self._url,
            policies=make_policies(
                TransactionRetryPolicy(retry_status=3, retry_backoff_factor=0.1),
                make_authentication_policy(credential),
                DatePolicy(),
            ),
            transport=transport or make_transport(endpoint),
        )

    @classmethod
    def for_service(cls, service: TableServiceClient) -> "TransactionClient":
        """A client with the address and the credential of an SDK client."""
        return cls(service.url, service.credential)

    async def submit(self, table: str, operations: Sequence[Operation]) -> list[str]:
        """Do all operations or none; the new etag of each row, "" for a deleted one.

        Raises ValueError for what can never be sent, TableTransactionError with `status_code`,
        `error_code` and the `index` of the operation that failed, and other errors of azure-core.
        After a ServiceRequestError, a ServiceResponseError or a status of 500 and above, it is
        unknown whether the transaction was committed.
        """
        boundary = str(uuid.uuid4())
        request = HttpRequest(
            "POST",
            self._batch_url,
            headers={
                "Content-Type": f"multipart/mixed; boundary=batch_{boundary}",
                "Accept": "application/json",
                "x-ms-version": API_VERSION,
                "DataServiceVersion": "3.0",
                "MaxDataServiceVersion": "3.0;NetFx",
            },
            content=encode_transaction(self._url, table, operations, boundary),
        )
        response = await self._client.send_request(request)
        if response.status_code != 202:
            raise error_of_response(response)
        return parse_response(
            response.headers.get("Content-Type", ""), response.content, len(operations)
        )

    async def close(self) -> None:
        await self._client.close()


# --- the request ------------------------------------------------------------------------------


def encode_transaction(
    account_url: str, table: str, operations: Sequence[Operation], boundary: str
) -> bytes:
    """The body of a transaction: a batch with one change set, which has a part an operation.

    It is ASCII. No part can hold a boundary: URLs are quoted and JSON has no line ends.
    """
    if not re.fullmatch("[A-Za-z][A-Za-z0-9]{2,62}", table):
        raise ValueError("A table's name has 3 to 63 letters and digits.")
    if not 1 <= len(operations) <= MAX_OPERATIONS:
        raise ValueError(f"A transaction has 1 to {MAX_OPERATIONS} operations.")
    if len({operation.partition_key for operation in operations}) > 1:
        raise ValueError("All rows of a transaction are in one partition.")
    url = f"{account_url}/{table}"
    separator = (
        f"--changeset_{boundary}\r\n"
        "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    ).encode()
    start = (
        f"--batch_{boundary}\r\n"
        f"Content-Type: multipart/mixed; boundary=changeset_{boundary}\r\n\r\n"
    ).encode()
    end = f"--changeset_{boundary}--\r\n\r\n--batch_{boundary}--\r\n".encode()
    parts = [separator + encode_operation(url, operation) for operation in operations]
    body = start + b"".join(parts) + end
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"A transaction has at most {MAX_BODY_BYTES} bytes; this has {len(body)}.")
    return body


# --- the response -----------------------------------------------------------------------------

_BOUNDARY = re.compile(r'(?i)multipart/mixed\s*;.*?boundary="?([^\s";]+)')
_INNER_BOUNDARY = re.compile(
    rb'(?i)content-type: *multipart/mixed\s*;[^\r\n]*?boundary="?([^\s";]+)'
)
_PART = re.compile(rb"(?s).*?\r\n\r\nHTTP/1\.[01] (\d{3})[^\r\n]*(\r\n.*?)\r\n\r\n(.*)")
_ETAG = re.compile(rb"(?i)\r\netag: *([^\r\n]+)")
_INDEX = re.compile(r"(\d+):")


class _Message(msgspec.Struct):
    value: str = ""


class _Error(msgspec.Struct):
    code: str = ""
    message: _Message = msgspec.field(default_factory=_Message)


class _ErrorBody(msgspec.Struct):
    error: _Error = msgspec.field(name="odata.error")


def parse_response(content_type: str, body: bytes, operations: int) -> list[str]:
    """The etags in the response to a transaction with that many operations.

    Raises TableTransactionError, or ServiceResponseError for an incomplete response.
    """
    etags = []
    for part in _split_response(content_type, body):
        if not (match := _PART.fullmatch(part)):
            raise ServiceResponseError("A part of the response is not an HTTP response.")
        status, headers, content = match.groups()
        if not status.startswith(b"2"):
            raise _error_of_part(int(status), content)
        etag = _ETAG.search(headers)
        etags.append(etag[1].decode() if etag else "")
    if len(etags) != operations:
        raise ServiceResponseError(
            f"The transaction had {operations} operations, its response has {len(etags)}."
        )
    return etags


def _split_response(content_type: str, body: bytes) -> list[bytes]:
    """The parts of the change set's response."""
    outer = _BOUNDARY.match(content_type)
    if not outer or f"--{outer[1]}--".encode() not in body:
        raise ServiceResponseError("The response is not a complete multipart document.")
    # Where the change set was not read at all, the error is a part of the batch itself.
    inner = _INNER_BOUNDARY.search(body)
    delimiter = b"--" + (inner[1] if inner else outer[1].encode())
    return body.split(delimiter)[1:-1]


def _error_of_part(status: int, content: bytes) -> TableTransactionError:
    """The error of the one operation that failed; the message starts with its index."""
    error = _decode_error(content)
    index = _INDEX.match(error.message.value)
    error_type = RequestTooLargeError if status == 413 else TableTransactionError
    raised = error_type(
        message=f"{error.code or status} in a transaction", index=int(index[1]) if index else 0
    )
    raised.status_code = status
    return _with_code(raised, error.code)


def error_of_response(
    response: AsyncHttpResponse, request: str = "a transaction"
) -> HttpResponseError:
    """The error of a request that was refused as a whole."""
    code = response.headers.get("x-ms-error-code") or _decode_error(response.content).code
    error_type: type[HttpResponseError] = {
        401: ClientAuthenticationError,
        403: ClientAuthenticationError,
        404: ResourceNotFoundError,
        413: RequestTooLargeError,
    }.get(response.status_code, HttpResponseError)
    # Without the response azure-core does not parse the body a second time.
    error = error_type(message=f"{code or response.status_code} for {request}")
    error.status_code, error.reason = response.status_code, response.reason
    error.response = response
    return _with_code(error, code)


def _with_code(error: E, code: str) -> E:
    """Set `error_code`, which azure-data-tables sets on its errors."""
    error.error_code = code  # type: ignore[attr-defined]
    return error


def _decode_error(content: bytes) -> _Error:
    try:
        return msgspec.json.decode(content, type=_ErrorBody).error
    except msgspec.MsgspecError:
        return _Error()
