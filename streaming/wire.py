"""How a part of a body goes over the wire, and where to."""

from __future__ import annotations

import functools
from typing import NamedTuple, Protocol


class Transport(Protocol):
    """What a cohort needs of an asyncio.Transport."""

    def is_closing(self) -> bool: ...

    def write(self, data: bytes) -> None: ...


class Outlet(NamedTuple):
    """A connection's descriptor, to be written to while the transport is not closing.

    A closed descriptor may be somebody else's by now: uvloop and asyncio say so before they close
    one. What the descriptor does not take, the transport does.
    """

    descriptor: int
    transport: Transport


@functools.lru_cache(maxsize=4)  # most streams are sent the same bytes, one after the other
def body_part(data: bytes) -> bytes:
    """Encode a part of a body, RFC 9112, 7.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)
