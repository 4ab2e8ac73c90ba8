"""The two receiving processes: the clients of the streams, and a bare LISTEN beside them.

While they measure they only note the time of each piece of data; they take it apart
afterwards, so that a receiver is never busy when the next piece comes.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

import psycopg

OPEN_AT_ONCE = 10
LISTEN_SECONDS = 1.0  # how soon the bare listener sees that it is to stop


def clock() -> float:
    """Return seconds on a clock that all processes of this machine share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


@dataclass(frozen=True, slots=True)
class Receipt:
    """An event as one receiver got it; `at` in seconds of `clock`."""

    receiver: int
    execution: int
    version: int
    at: float


@dataclass
class Received:
    """What a receiving process saw between `ready` and `stop`."""

    receipts: list[Receipt] = field(default_factory=list)
    cpu_share: float = 0.0  # of one core
    odd_frames: list[str] = field(default_factory=list)  # resets, closes, broken streams


class _Share:
    """The share of a core that this process takes from now on."""

    def __init__(self) -> None:
        self._wall, self._cpu = clock(), time.process_time()

    def __call__(self) -> float:
        return (time.process_time() - self._cpu) / (clock() - self._wall)


class _Client(asyncio.Protocol):
    """One stream. Raw sockets: an HTTP library would take longer than what is measured."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._head = b""
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pieces: list[tuple[float, bytes]] = []
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.pieces.append((clock(), data))
        if not self.connected.done():
            self._head += data
            if b"event: connected" in self._head:
                self.connected.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.connected.done():
            self.connected.set_exception(ConnectionError(repr(self._head[:500])))


def streams(control: Connection, url: str, token: str, count: int) -> None:
    """Process: open `count` streams, send "ready", and at any answer what they received."""
    gc.disable()  # a collection would look like a late delivery
    control.send(asyncio.run(_receive(control, url, token, count)))


async def _receive(control: Connection, url: str, token: str, count: int) -> Received:
    parts = urlsplit(url)
    host, port = str(parts.hostname), int(parts.port or 80)
    request = (
        f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Authorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n"
    ).encode()
    loop = asyncio.get_running_loop()
    limit = asyncio.Semaphore(OPEN_AT_ONCE)

    async def opened() -> tuple[asyncio.BaseTransport, _Client]:
        async with limit:
            transport, client = await loop.create_connection(lambda: _Client(request), host, port)
            await client.connected
            return transport, client

    clients = await asyncio.gather(*(opened() for _ in range(count)))
    stop = asyncio.Event()
    loop.add_reader(control.fileno(), stop.set)
    control.send("ready")
    share = _Share()
    await stop.wait()
    received = Received(cpu_share=share())
    loop.remove_reader(control.fileno())
    for number, (transport, client) in enumerate(clients):
        if client.lost:
            received.odd_frames.append(f"stream {number} broke")
        transport.close()
        _read(number, client.pieces, received)
    return received


def _read(number: int, pieces: Iterable[tuple[float, bytes]], received: Received) -> None:
    for at, frame in _frames(_body(pieces)):
        fields = dict(line.split(b": ", 1) for line in frame.split(b"\n") if b": " in line)
        if b"event" in fields:
            if fields[b"event"] != b"connected":
                received.odd_frames.append(frame.decode())
        elif b"data" in fields:
            data = json.loads(fields[b"data"])
            received.receipts.append(Receipt(number, data["entity_id"], data["version"], at))


def _body(pieces: Iterable[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Take HTTP's head and chunk sizes away (RFC 9112, 7.1); each part keeps its time."""
    buffer, in_body = b"", False
    for at, data in pieces:
        buffer += data
        if not in_body:
            head, found, rest = buffer.partition(b"\r\n\r\n")
            if not found:
                continue
            assert b"transfer-encoding: chunked" in head.lower(), head
            buffer, in_body = rest, True
        while b"\r\n" in buffer:
            size, _, rest = buffer.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                break
            yield at, rest[:length]
            buffer = rest[length + 2 :]


def _frames(body: Iterable[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Cut the body at empty lines; a frame has the time of its last part."""
    buffer = b""
    for at, part in body:
        *frames, buffer = (buffer + part).split(b"\n\n")
        for frame in frames:
            yield at, frame


def bare(control: Connection, database_url: str, channel: str) -> None:
    """Process: LISTEN, send "ready", and at any answer what was notified."""
    notes: list[tuple[float, str]] = []
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(f"LISTEN {channel}")
        control.send("ready")
        share = _Share()
        while not control.poll():
            for note in conn.notifies(timeout=LISTEN_SECONDS):
                notes.append((clock(), note.payload))
        received = Received(cpu_share=share())
    for at, payload in notes:
        data = json.loads(payload)
        received.receipts.append(Receipt(0, data["entity_id"], data["version"], at))
    control.send(received)
