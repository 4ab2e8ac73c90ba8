"""Who receives what is measured: the clients of the streams, and a bare LISTEN beside them.

They only note the time of each event while they measure, so that a receiver is never busy
when the next one comes. The clients are the load client in C: Python takes as long to read
from a hundred sockets as the server to write to them, and half of that would look like latency.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import psycopg

from bench.loadclient import LoadClient

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


class Share:
    """The share of a core that this process takes from now on."""

    def __init__(self) -> None:
        self._wall, self._cpu = clock(), time.process_time()

    def __call__(self) -> float:
        return (time.process_time() - self._cpu) / (clock() - self._wall)


def received(client: LoadClient, changes: Iterable[tuple[int, int, int]]) -> Received:
    """Return what the load client has recorded, given (seq, execution, version) of the log."""
    of = {seq: (execution, version) for seq, execution, version in changes}
    found = Received()
    found.receipts = [Receipt(stream, *of[seq], at) for stream, seq, at in client.receipts()]
    window = client.report()
    found.cpu_share = window.cpu_seconds / window.seconds
    if window.controls or window.ended:
        found.odd_frames.append(f"{window.controls} {window.ended} streams ended")
    return found


def bare(control: Connection, database_url: str, channel: str) -> None:
    """Process: LISTEN, send "ready", and at any answer what was notified."""
    notes: list[tuple[float, str]] = []
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(f"LISTEN {channel}")
        control.send("ready")
        share = Share()
        while not control.poll():
            for note in conn.notifies(timeout=LISTEN_SECONDS):
                notes.append((clock(), note.payload))
        received = Received(cpu_share=share())
    for at, payload in notes:
        data = json.loads(payload)
        received.receipts.append(Receipt(0, data["entity_id"], data["version"], at))
    control.send(received)
