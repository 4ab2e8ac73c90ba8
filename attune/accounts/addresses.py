from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings


def client_address(meta: Mapping[str, Any]) -> str:
    """Return where a request comes from, of IPv6 the /64; "" where that cannot be told.

    Behind a proxy that is to be believed, the last entry of X-Forwarded-For, which is the one
    that this proxy has added.
    """
    address = str(meta.get("REMOTE_ADDR") or "")
    if settings.TRUST_PROXY:
        address = str(meta.get("HTTP_X_FORWARDED_FOR", "")).rpartition(",")[2].strip() or address
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address):
        # A customer of any provider has at least so many; and an IPv4 address is no prefix.
        return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))
    return str(parsed)
