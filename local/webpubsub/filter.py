"""Whom a message is for: the OData subset of the `filter` parameter.

https://learn.microsoft.com/azure/azure-web-pubsub/reference-odata-filter
A filter is read once into a typed function of a connection; every mistake shows while reading.
"""

from collections.abc import Callable

from local.webpubsub.hub import Connection

Predicate = Callable[[Connection], bool]


class InvalidFilterError(ValueError):
    """A filter that cannot be read."""


def compile_filter(text: str) -> Predicate:
    raise InvalidFilterError(f"Invalid syntax for '{text}'")
