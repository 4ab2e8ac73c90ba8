"""The TCP connection under a stream: told when it hangs, cut when it must be.

ASGI knows neither. Of a client that has vanished, or that never reads, an application hears
nothing until the kernel gives up, which takes a quarter of an hour. And daphne's `send` never
waits: what a client does not read piles up in the server. Both servers' own objects can be
reached through `send`, so what is missing is added here, per connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from streaming.wire import Outlet, body_part

SCOPE_KEY = "attune.connection"
# Unacknowledged for so long, or a closed window for so long: the kernel ends the connection.
# Less than 30 s together with the 15 s until the next heartbeat. man 7 tcp, TCP_USER_TIMEOUT.
USER_TIMEOUT_MILLISECONDS = 12_000

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Connection(Protocol):
    """What the stream needs of a server's connection."""

    @property
    def send(self) -> Send:
        """The server's `send`, which returns only when the client takes what it is sent."""

    def push(self, data: bytes) -> int | None:
        """Send a part of the body at once, past the application: a tenth of what `send` costs.

        Returns how many bytes of it the server still holds. None: not now (the client does not
        take what it is sent, or the response is over), and nothing was sent; `send` waits.
        """

    @property
    def outlet(self) -> Outlet | None:
        """Where parts of the body may be written without a word to the server.

        Good until something else is sent. None where it cannot be, or not now: the client does
        not take what it is sent, or the server has to be told.
        """

    @property
    def unsent(self) -> int:
        """How many bytes the server holds that the kernel has not taken."""

    def abort(self) -> None:
        """Cut the connection at once, whatever is still unsent."""

    def close(self) -> None:
        """Let go of the server's objects; the response is over."""


class AsyncioConnection:
    """uvicorn: its `send` waits by itself while the transport is full."""

    # What `push` needs, and no more: with a thousand streams, whatever else it looked at would
    # have to come from memory first, which takes longer than all that is done with it.
    __slots__ = ("_cycle", "_fd", "_transport", "send")

    def __init__(self, send: Send, cycle: Any) -> None:
        self.send = send
        self._cycle = cycle  # None once it has said that it sends chunks
        self._transport = cycle.transport
        sock = self._transport.get_extra_info("socket")
        is_plain = sock is not None and self._transport.get_extra_info("sslcontext") is None
        self._fd: int | None = sock.fileno() if is_plain else None
        _set_user_timeout(sock)

    def push(self, data: bytes) -> int | None:
        """Send what the kernel takes right now, and leave the rest to the transport.

        uvloop's own `write` sends in the loop's next turn: of a thousand streams the first
        would wait until the last has been served.
        """
        transport = self._transport
        # A closed transport's descriptor may be somebody else's by now.
        if transport.is_closing() or transport.get_write_buffer_size() or not self._chunked():
            return None
        part = body_part(data)
        if self._fd is not None:
            try:
                sent = os.write(self._fd, part)
            except OSError:  # full, or broken: the transport will notice
                sent = 0
            if sent == len(part):
                return 0
            part = part[sent:]
        transport.write(part)
        return self.unsent

    @property
    def outlet(self) -> Outlet | None:
        transport = self._transport
        if self._fd is None or transport.is_closing() or transport.get_write_buffer_size():
            return None
        return Outlet(self._fd, transport) if self._chunked() else None

    def _chunked(self) -> bool:
        """Whether the body is sent in chunks; of uvicorn's cycles, that on h11 does not say."""
        if self._cycle is not None and getattr(self._cycle, "chunked_encoding", False):
            self._cycle = None
        return self._cycle is None

    @property
    def unsent(self) -> int:
        return int(self._transport.get_write_buffer_size())

    def abort(self) -> None:
        self._transport.abort()

    def close(self) -> None:
        pass


class TwistedConnection:
    """daphne: becomes the request's push producer, which Twisted pauses at 64 KiB unsent."""

    outlet = None

    def __init__(self, send: Send, request: Any) -> None:
        self._send = send
        self._request = request
        self._may_write = asyncio.Event()
        self._may_write.set()
        request.registerProducer(self, True)
        _set_user_timeout(request.transport.getHandle())
        _write_at_once(request.transport)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        await self._may_write.wait()
        await self._send(message)

    def push(self, data: bytes) -> int | None:
        request = self._request
        ended = request.finished or request._disconnected
        if ended or not (request.chunked and self._may_write.is_set()):
            return None
        request.channel.write(body_part(data))
        return self.unsent

    @property
    def unsent(self) -> int:
        transport = self._request.transport
        return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)

    def abort(self) -> None:
        self._may_write.set()
        self._request.transport.abortConnection()

    def close(self) -> None:
        self._may_write.set()
        vars(self._request.transport).pop("startWriting", None)
        if not (self._request.finished or self._request._disconnected):
            self._request.unregisterProducer()

    # Twisted's IPushProducer.
    def pauseProducing(self) -> None:
        self._may_write.clear()

    def resumeProducing(self) -> None:
        self._may_write.set()

    def stopProducing(self) -> None:
        self._may_write.set()


class UnknownConnection:
    """Another server: whether it bounds what it holds is up to it; nothing can be cut."""

    outlet = None
    unsent = 0

    def __init__(self, send: Send) -> None:
        self.send = send

    def push(self, data: bytes) -> int | None:
        return None

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


def open_connection(send: Send) -> Connection:
    """Return the connection that `send` writes to."""
    cycle = getattr(send, "__self__", None)
    transport = getattr(cycle, "transport", None)
    if hasattr(transport, "abort") and hasattr(transport, "get_extra_info"):
        # By what it can do: uvloop's transports are no asyncio.Transport by class.
        return AsyncioConnection(send, cycle)
    if isinstance(send, functools.partial) and send.args:
        request = send.args[0]
        if hasattr(request, "registerProducer"):
            return TwistedConnection(send, request)
    return UnknownConnection(send)


def _write_at_once(transport: Any) -> None:
    """Make Twisted write when it is told to, not in the reactor's next turn.

    With a hundred streams to serve, the first would wait until the last has been encoded; and
    asking the reactor costs two system calls a write. Measured: 71 to 52 µs a delivery.
    Only where something waits to be written: `loseConnection` relies on being called back.
    """
    later = transport.startWriting

    def start_writing() -> None:
        if not transport._tempDataLen or transport.doWrite() is not None or transport.dataBuffer:
            later()

    transport.startWriting = start_writing


def _set_user_timeout(sock: Any) -> None:
    with contextlib.suppress(OSError, AttributeError):  # a Unix socket, or not Linux
        duplicate = socket.socket(fileno=socket.dup(sock.fileno()))
        with duplicate:
            duplicate.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MILLISECONDS
            )
