"""Clients of every temper, and what each of them goes through.

On raw sockets: they hang up in the middle of a byte stream, read by the kilobyte or not at
all, and a thousand of them fit beside what is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.faults.wire import Chunked, Frame, Frames, WireError, status_and_headers

# The server asks for two seconds; a fault is to be over before the harness is.
RETRY_SECONDS = 0.3
CONNECT_SECONDS = 30.0
# Heartbeats come every second here: one that has sent nothing for so long is not there.
READ_SECONDS = 20.0
READ_BYTES = 64 * 1024
SLOW_BYTES, SLOW_SECONDS = 1024, 0.05
CUT_SECONDS = 0.02  # that a client which reconnects at random keeps a connection, at the least
MUTE_SECONDS = 60.0  # after which one that never reads hangs up and comes again

STEADY, SLOW, NEVER_READING = "steady", "slow", "never reading"
# Both hang up at random. One comes back with its last id; the other forgets all, as a page
# that is loaded again does, and is told of the state anew.
RECONNECTING, RELOADING = "reconnecting", "reloading"
_CUTTING = (RECONNECTING, RELOADING)
CONNECTION_LOST = "connection lost"


@dataclass(frozen=True, slots=True)
class ClientSpec:
    """Who connects, with which query, and how it behaves."""

    name: str
    query: str
    token: str
    pace: str = STEADY
    seed: int = 0
    keep_seconds: float = 1.5  # a connection, at the most, where it reconnects at random


@dataclass
class Life:
    """What one client went through, as it is handed back. An item is
    (seq, execution or 0, version, pack, time)."""

    name: str
    start: int = -1
    since: float = 0.0
    items: list[tuple[int, int, int, str, float]] = field(default_factory=list)
    resets: list[tuple[str, int, int]] = field(default_factory=list)
    epochs: list[str] = field(default_factory=list)
    known: dict[int, int] = field(default_factory=dict)
    whole: bool = False
    end: int | None = None
    connects: int = 0
    statuses: Counter[str] = field(default_factory=Counter)  # answers that were no stream
    closes: Counter[str] = field(default_factory=Counter)  # by the reason the server gave
    troubles: Counter[str] = field(default_factory=Counter)


class Client:
    """One client: connects, reads, and comes back with its last id, until cancelled."""

    def __init__(self, spec: ClientSpec, addresses: Sequence[tuple[str, int]]) -> None:
        self.spec = spec
        self.lives = [Life(spec.name)]
        self.connected = asyncio.Event()
        self.draining = False
        self.last_id: str | None = None
        self._position = -1
        self._addresses = [(host, port) for host, port in addresses]  # as JSON has them
        self._random = random.Random(spec.seed)
        self._retry = RETRY_SECONDS
        self._writer: asyncio.StreamWriter | None = None

    @property
    def position(self) -> int:
        return self._position

    @property
    def life(self) -> Life:
        return self.lives[-1]

    def turn(self) -> list[Life]:
        """Return the lives so far, and begin one where this one stands."""
        lives, self.draining = self.lives, False
        self.lives = [Life(self.spec.name, start=self._position, since=time.monotonic())]
        return lives

    def cut(self) -> None:
        """Drop the connection, as a network does."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    reader, self._writer = await self._connect()
                await self._stream(reader)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                self.life.troubles[CONNECTION_LOST] += 1
            except (WireError, ValueError) as exc:
                self.life.troubles[f"{type(exc).__name__}: {exc}"] += 1
            finally:
                if self._writer is not None:
                    self._writer.transport.abort()
                    self._writer = None
            if self.spec.pace == RELOADING and self.life.start >= 0:
                self._forget()
            await asyncio.sleep(self._retry * self._random.uniform(0.2, 1.0))

    def _forget(self) -> None:
        self.life.end = self._position
        self.lives.append(Life(self.spec.name))
        self.last_id, self._position = None, -1

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = socket.socket()
        try:
            sock.setblocking(False)
            if self.spec.pace == SLOW:
                # Else the kernel reads for us, megabytes of it.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * SLOW_BYTES)
            address = self._random.choice(self._addresses)
            await asyncio.get_running_loop().sock_connect(sock, address)
            reader, writer = await asyncio.open_connection(sock=sock, limit=READ_BYTES)
        except BaseException:
            sock.close()
            raise
        writer.write(request(self.spec, address, self.last_id))
        return reader, writer

    async def _stream(self, reader: asyncio.StreamReader) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            status, headers = status_and_headers(await reader.readuntil(b"\r\n\r\n"))
        if status != 200:
            self.life.statuses[str(status)] += 1
            return
        if headers.get("transfer-encoding") != "chunked":
            raise WireError("the stream is not chunked")
        self.life.connects += 1
        chunked, frames = Chunked(), Frames()
        cut_at = time.monotonic() + self._random.uniform(CUT_SECONDS, self.spec.keep_seconds)
        while not chunked.ended:
            data = await self._read(reader, cut_at)
            if not data:
                return
            now = time.monotonic()
            for frame in frames.feed(chunked.feed(data)):
                self._take(frame, now)

    async def _read(self, reader: asyncio.StreamReader, cut_at: float) -> bytes:
        """Return the next bytes; none where the connection has ended, or is to."""
        cutting = self.spec.pace in _CUTTING and not self.draining
        seconds = cut_at - time.monotonic() if cutting else READ_SECONDS
        slow = self.spec.pace == SLOW and not self.draining
        if slow:
            await asyncio.sleep(SLOW_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                return await reader.read(SLOW_BYTES if slow else READ_BYTES)
        except TimeoutError:
            if cutting:
                return b""
            raise

    def _take(self, frame: Frame, now: float) -> None:
        before = self._position
        if frame.id is not None:
            epoch, _, seq = frame.id.partition("-")
            self.last_id, self._position = frame.id, int(seq)
            if epoch not in self.life.epochs:
                self.life.epochs.append(epoch)
        if frame.retry is not None:
            self._retry = min(frame.retry / 1000, RETRY_SECONDS)
        if frame.event is None and frame.data is not None:
            self._take_event(json.loads(frame.data), now)
        elif frame.event == "connected":
            self._take_connected(json.loads(frame.data or "{}"), now)
        elif frame.event == "reset":
            reason = str(json.loads(frame.data or "{}")["reason"])
            self.life.resets.append((reason, before, self._position))
        elif frame.event == "snapshot":
            self._take_snapshot(json.loads(frame.data or "{}"))
        elif frame.event == "close":
            self.life.closes[str(json.loads(frame.data or "{}")["reason"])] += 1
        elif frame.id is not None and self._position != before:
            self.life.items.append((self._position, 0, 0, "", now))

    def _take_connected(self, data: dict[str, Any], now: float) -> None:
        if data["seq"] != self._position:
            self.life.troubles["connected: id and seq differ"] += 1
        if self.life.start < 0:
            self.life.start, self.life.since = self._position, now
            self.connected.set()
        self.life.items.append((self._position, 0, 0, "", now))

    def _take_event(self, event: dict[str, Any], now: float) -> None:
        if event["seq"] != self._position:
            self.life.troubles["event: id and seq differ"] += 1
        pack = event["data"]["action_ref"].partition(".")[0]
        self.life.items.append((self._position, event["entity_id"], event["version"], pack, now))

    def _take_snapshot(self, data: dict[str, Any]) -> None:
        self.life.whole = data["complete"]
        self.life.known = {row["entity_id"]: row["version"] for row in data["executions"]}


class Mute(Client):
    """Asks for a stream and never reads it."""

    async def run(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                await self._ask()
            await asyncio.sleep(RETRY_SECONDS)

    async def _ask(self) -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            loop = asyncio.get_running_loop()
            address = self._random.choice(self._addresses)
            await loop.sock_connect(sock, address)
            await loop.sock_sendall(sock, request(self.spec, address, None))
            self.connected.set()
            await asyncio.sleep(MUTE_SECONDS)


def request(spec: ClientSpec, address: tuple[str, int], last_id: str | None) -> bytes:
    lines = [
        f"GET /api/v1/executions/stream{spec.query} HTTP/1.1",
        "Host: {}:{}".format(*address),
        f"Authorization: Bearer {spec.token}",
        "Accept: text/event-stream",
    ]
    if last_id is not None:
        lines.append(f"Last-Event-ID: {last_id}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
