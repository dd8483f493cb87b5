"""Which site's page has sent a request, by the headers that browsers set."""

from collections.abc import Collection, Mapping

from realtime.errors import ApiError


def is_from_other_site(headers: Mapping[str, str]) -> bool:
    """By Sec-Fetch-Site, which pages cannot set: www.w3.org/TR/fetch-metadata."""
    return headers.get("sec-fetch-site") in {"cross-site", "same-site"}


def check_origin(headers: Mapping[str, str], allowed_origins: Collection[str]) -> None:
    """Raises ApiError `forbidden` for a page of another site that is not among the allowed."""
    origin = headers.get("origin")
    if origin and is_from_other_site(headers) and origin not in allowed_origins:
        raise ApiError(
            "forbidden", f"Pages of {origin[:200]!r} may not call this app: see ALLOWED_ORIGINS."
        )
