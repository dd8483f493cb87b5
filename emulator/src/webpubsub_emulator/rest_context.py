"""What the REST operations share: the hub and the parameters of one request."""

from webpubsub_emulator.connection import Connection
from webpubsub_emulator.filter import InvalidFilterError, Predicate, compile_filter
from webpubsub_emulator.hub import Hub
from webpubsub_emulator.payload import (
    InvalidPayloadError,
    Payload,
    UnsupportedContentTypeError,
    metadata_from_headers,
    payload_from_body,
)
from webpubsub_emulator.protocol import MAX_TTL_SECONDS
from webpubsub_emulator.rest_request import RestError, RestRequest, RestResponse, bad_request
from webpubsub_emulator.server_messages import OutgoingMessage
from webpubsub_emulator.service import Service


class RestContext:
    """One request together with the hub that it names."""

    def __init__(self, service: Service, request: RestRequest) -> None:
        self.service = service
        self.request = request
        self.hub: Hub = service.hub(request.path_values["hub"])

    def __getitem__(self, name: str) -> str:
        return self.request.path_values[name]

    def connection(self) -> Connection | None:
        return self.hub.connections.get(self["connection"])

    def require_connection(self, code: str = "Error.Connection.NotExisted") -> Connection:
        connection = self.connection()
        if connection is None:
            message = f"Connection `{self['connection']}` is not found."
            raise RestError(404, code, message, "Connection")
        return connection

    def all_connections(self) -> tuple[Connection, ...]:
        return tuple(self.hub.connections.values())

    def user_connections(self) -> tuple[Connection, ...]:
        return self.hub.user_connections(self["user"])

    def group_connections(self) -> tuple[Connection, ...]:
        return self.hub.group_connections(self["group"])

    def send(self, connections: tuple[Connection, ...], group: str | None = None) -> RestResponse:
        """Send the body. The service checks ttl and filter before it looks at the body."""
        ttl = self.request.integer("messageTtlSeconds", 0, MAX_TTL_SECONDS)
        predicate = read_filter(self.request.value("filter"))
        if self.request.has_unknown_length:
            raise bad_request("Invalid Content-Length header.")
        message = OutgoingMessage(self._read_payload(), group=group, ttl_seconds=ttl)
        receivers = self._without_excluded(connections)
        if predicate is not None:
            receivers = tuple(filter(predicate, receivers))
        self.hub.deliver(receivers, message)
        return RestResponse(202)

    def close(self, connections: tuple[Connection, ...]) -> RestResponse:
        for connection in self._without_excluded(connections):
            self.hub.close_by_server(connection, self.request.value("reason"))
        return RestResponse(204)

    def _without_excluded(self, connections: tuple[Connection, ...]) -> tuple[Connection, ...]:
        excluded = set(self.request.values("excluded"))
        if not excluded:
            return connections
        return tuple(connection for connection in connections if connection.id not in excluded)

    def _read_payload(self) -> Payload:
        try:
            metadata = metadata_from_headers(self.request.headers)
            content_type = self.request.header("Content-Type")
            return payload_from_body(content_type, self.request.body, metadata)
        except UnsupportedContentTypeError as error:
            raise unsupported_content_type(str(error)) from error
        except InvalidPayloadError as error:
            if "JSON" in str(error):
                raise bad_request("The request body is not a valid JSON.") from error
            raise bad_request(str(error)) from error


def read_filter(text: str | None) -> Predicate | None:
    if not text:
        return None
    try:
        return compile_filter(text)
    except InvalidFilterError as error:
        raise bad_request(f"{error} (Parameter 'filter')") from error


def unsupported_content_type(content_type: str | None) -> RestError:
    message = f"Content-Type {content_type or '(none)'} is not supported."
    return RestError(415, "Error.UnsupportedMediaType", message)


def exists_response(found: object, error_code: str) -> RestResponse:
    return RestResponse(200) if found else RestResponse(404, error_code=error_code)
