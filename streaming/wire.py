"""How a part of a body goes over the wire, and where to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple


class Outlet(NamedTuple):
    """A connection's descriptor, and what says that it is not to be written to any more.

    A closed descriptor may be somebody else's by now: uvloop and asyncio say so before they close
    one.
    """

    descriptor: int
    is_closing: Callable[[], bool]


@functools.lru_cache(maxsize=4)  # most streams are sent the same bytes, one after the other
def body_part(data: bytes) -> bytes:
    """Encode a part of a body, RFC 9112, 7.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)
