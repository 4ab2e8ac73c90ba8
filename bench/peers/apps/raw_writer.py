"""uvloop that writes the same bytes to every connection: the physical limit for Python.

No HTTP parser, no filter, no bound on what a slow client may pile up. `POST` with events, one
a line, writes them; `GET` is a stream.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import cast

import uvloop

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
DONE = b"HTTP/1.1 204 No Content\r\n\r\n"
_streams: set[asyncio.WriteTransport] = set()


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._waiting = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        _streams.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        head, found, rest = self._waiting.partition(b"\r\n\r\n")
        if not found:
            return
        if head.startswith(b"GET"):
            self._waiting = b""
            self._transport.write(HEAD)
            _streams.add(self._transport)
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(rest) >= length:
            self._waiting = rest[length:]
            _write(rest[:length])
            self._transport.write(DONE)


def _write(events: bytes) -> None:
    """Write all events of one request to everybody, joined: one write a stream."""
    frames = b"".join(b"id: 1\ndata: %s\n\n" % line for line in events.splitlines())
    for stream in _streams:
        stream.write(frames)


async def main(fd: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        Connection, sock=socket.socket(fileno=fd), backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
