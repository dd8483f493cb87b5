"""The address of a caller, as the key of a rate limit."""

import ipaddress
import re
from collections.abc import Mapping


def client_address(headers: Mapping[str, str]) -> str:
    """The last entry of X-Forwarded-For, which the platform's front end wrote; "" if it is invalid.

    An IPv6 address is reduced to its /64 network, since a caller has all addresses in it.
    """
    last = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    bare = re.sub(r"^\[(.+)\](:\d+)?$|^([\d.]+):\d+$", r"\1\3", last)
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return ""
    network = ipaddress.ip_network((address, 64 if address.version == 6 else 32), strict=False)
    return str(network.network_address)
