"""Ends connections on which no whole request comes in time.

uvicorn waits for ever for the head of a request, and keeps a head of any size; daphne waits for
as long as a byte comes now and then. So each such connection costs whoever opens it nothing,
and the server one of the files it may open. Neither has a setting for it.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable
from typing import Any

_TIMER = "_attune_timer"
_BYTES = "_attune_head_bytes"


def guard_servers(*, seconds: float, head_bytes: int) -> None:
    """Have the connections of the server that runs us wait so long for a request: for its head, in
    uvicorn's case, where the body is the application's matter; in daphne's for all of it.

    The other one is not loaded: Twisted alone is a fifth of the time that a process takes to start.
    """
    if "uvicorn" in sys.modules:
        _guard_uvicorn(seconds, head_bytes)
    if "daphne" in sys.modules:
        _guard_daphne(seconds)


def _guard_uvicorn(seconds: float, head_bytes: int) -> None:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    protocol: Any = HttpToolsProtocol

    def begin(self: Any) -> None:
        _start(self, seconds, lambda: self.transport.abort())

    def receive(self: Any, data: bytes, *, original: Callable[..., None]) -> None:
        if self.cycle is None or self.cycle.response_complete:
            begin(self)
        original(self, data)
        if getattr(self, _TIMER, None) is not None:
            setattr(self, _BYTES, getattr(self, _BYTES, 0) + len(data))
            if getattr(self, _BYTES) > head_bytes:
                self.transport.abort()

    _after(protocol, "connection_made", begin)
    _after(protocol, "connection_lost", _stop)
    _around(protocol, "data_received", receive)
    _before(protocol, "on_headers_complete", _stop)


def _guard_daphne(seconds: float) -> None:
    from daphne.http_protocol import WebRequest
    from twisted.web.http import HTTPChannel

    channel: Any = HTTPChannel

    def begin(self: Any) -> None:
        if not getattr(self, "_attune_busy", False):
            _start(self, seconds, lambda: self.transport.abortConnection())

    def busy(self: Any) -> None:
        _stop(self.channel)
        self.channel._attune_busy = True

    def idle(self: Any) -> None:
        self._attune_busy = False
        begin(self)

    _after(channel, "connectionMade", begin)
    _after(channel, "connectionLost", _stop)
    _before(channel, "dataReceived", begin)
    _before(channel, "requestDone", idle)
    _before(WebRequest, "process", busy)


def _start(connection: Any, seconds: float, end: Callable[[], None]) -> None:
    if getattr(connection, _TIMER, None) is None:
        setattr(connection, _TIMER, asyncio.get_running_loop().call_later(seconds, end))
        setattr(connection, _BYTES, 0)


def _stop(connection: Any) -> None:
    timer = getattr(connection, _TIMER, None)
    if timer is not None:
        timer.cancel()
        setattr(connection, _TIMER, None)


def _before(cls: Any, name: str, hook: Callable[[Any], None]) -> None:
    def run(self: Any, *args: Any, original: Callable[..., Any]) -> Any:
        hook(self)
        return original(self, *args)

    _around(cls, name, run)


def _after(cls: Any, name: str, hook: Callable[[Any], None]) -> None:
    def run(self: Any, *args: Any, original: Callable[..., Any]) -> Any:
        result = original(self, *args)
        hook(self)
        return result

    _around(cls, name, run)


def _around(cls: Any, name: str, run: Callable[..., Any]) -> None:
    original = getattr(cls, name)

    @functools.wraps(original)
    def method(self: Any, *args: Any) -> Any:
        return run(self, *args, original=original)

    setattr(cls, name, method)
