"""Which site's page has sent a request, as the browser says it."""

from collections.abc import Mapping


def is_from_other_site(headers: Mapping[str, str]) -> bool:
    """By Sec-Fetch-Site, which pages cannot set: www.w3.org/TR/fetch-metadata."""
    return headers.get("sec-fetch-site") in {"cross-site", "same-site"}
