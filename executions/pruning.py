"""Dropping old history: beside `eventlog.py` the only code that writes to the log.

A file of its own, because it is no part of the stream: no worker or web process imports it,
and it is blocking. What keeps it apart from them is the order, floor first:

1. Find the cut, the last event that may go.
2. Raise `floor_seq` to it, and commit. From here on these events count as gone. It takes the
   row lock that the sequencer takes, so it is one statement in autocommit: nobody sequences
   while somebody holds it, and nobody may hold it while rows are deleted.
3. Delete what the floor is above of, a batch a transaction.

Readers read events first and the floor afterwards, so whoever misses a deleted event sees
that the floor is above it. A run that dies between 2 and 3 leaves rows below the floor; the
next one deletes them, too.

What it costs: the steps are ranges of the primary key, never a scan of the table. The age
of every event that goes is read, because `recorded` is the writer's time and does not only
grow with `seq`. A number of events is subtracted, as `seq` is dense. For a number of bytes
the sizes of the events that stay are read, newest first, until they are too many. Measured on
two cores: a million events a second for reading, 400,000 for deleting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString, TypeAlias

import psycopg

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

LOCK = int.from_bytes(b"attune/p")  # the advisory lock's number, of this database
LOCK_SECONDS = 3.0  # the sequencer has the row for milliseconds; longer, and something is odd

_STATE = "SELECT floor_seq, last_seq FROM attune.stream_state"
_RAISE = "UPDATE attune.stream_state SET floor_seq = %(cut)s WHERE floor_seq < %(cut)s"
# What a run that died has left below the floor: it would have deleted the floor's own last.
# Not just the lowest of all, for which the dead rows of every run since the last vacuum are
# stepped over (2 million: 3.5 s).
_LEFT = """
    SELECT min(seq) FROM attune.execution_event
    WHERE seq <= %(floor)s
        AND EXISTS (SELECT FROM attune.execution_event WHERE seq = %(floor)s)
"""
_FIRST_YOUNGER = """
    SELECT min(seq) FROM attune.execution_event
    WHERE seq > %(low)s AND seq <= %(high)s AND recorded >= %(moment)s
"""
# All bytes in the range, and the newest event with which they become too many.
_BYTES = """
    SELECT coalesce(sum(bytes), 0), max(seq) FILTER (WHERE newer_and_own > %(room)s) FROM (
        SELECT seq, bytes, sum(bytes) OVER (ORDER BY seq DESC) AS newer_and_own
        FROM attune.execution_event WHERE seq > %(low)s AND seq <= %(high)s
    ) AS summed
"""
_COUNT = """
    SELECT count(*), coalesce(sum(bytes), 0) FROM attune.execution_event
    WHERE seq > %(low)s AND seq <= %(high)s
"""
_DELETE = """
    WITH gone AS (
        DELETE FROM attune.execution_event
        WHERE seq > %(low)s AND seq <= %(high)s RETURNING bytes
    )
    SELECT count(*), coalesce(sum(bytes), 0) FROM gone
"""


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept of the log; what is beyond any of the limits goes. None: no limit."""

    age: timedelta | None = None
    events: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much went (or would go); the log now begins after `floor_seq`."""

    events: int
    bytes: int
    floor_seq: int


def claim(conn: Connection) -> bool:
    """Claim the pruning, for as long as `conn` lives; False where somebody else has it.

    `conn` must lead to the server itself: behind a transaction-pooling bouncer neither the
    claim nor the settings made here would be ours.
    """
    conn.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_SECONDS}s"])
    # Whatever the statistics say of a table that has just grown or shrunk.
    conn.execute("SET enable_seqscan = off")
    return bool(_row(conn, "SELECT pg_try_advisory_lock(%s)", [LOCK])[0])


def prune(conn: Connection, keep: Keep, *, batch: int, dry_run: bool = False) -> Pruned:
    """Drop what `keep` does not keep, `batch` events at a time.

    `conn` must be in autocommit and have the `claim`. Raises psycopg.errors.LockNotAvailable
    where a lock cannot be had in time; nothing is lost then, the next run goes on.
    """
    floor, last = _row(conn, _STATE)
    left = _row(conn, _LEFT, {"floor": floor})[0]
    cut = _cut(conn, keep, floor, last, batch)
    if not dry_run:
        conn.execute(_RAISE, {"cut": cut})
    events = size = 0
    for low, high in _ranges(floor if left is None else left - 1, cut, batch):
        row = _range(conn, _COUNT if dry_run else _DELETE, low, high)
        events, size = events + row[0], size + row[1]
    return Pruned(events, size, cut)


def _cut(conn: Connection, keep: Keep, floor: int, last: int, batch: int) -> int:
    """Return the last event that goes; each limit has to look only above the one before."""
    cut = floor
    if keep.events is not None:
        cut = max(cut, last - keep.events)
    if keep.bytes is not None:
        cut = _over_bytes(conn, keep.bytes, cut, last, batch)
    if keep.age is not None:
        moment = _row(conn, "SELECT clock_timestamp() - %s", [keep.age])[0]
        cut = _older(conn, moment, cut, last, batch)
    return cut


def _older(conn: Connection, moment: datetime, after: int, last: int, batch: int) -> int:
    """Return the last event before the first that is not older than `moment`."""
    for low, high in _ranges(after, last, batch):
        younger = _range(conn, _FIRST_YOUNGER, low, high, moment=moment)[0]
        if younger is not None:
            return int(younger) - 1
    return last


def _over_bytes(conn: Connection, room: int, after: int, last: int, batch: int) -> int:
    """Return the newest event for which, counted from the newest of all, there is no room."""
    for high in range(last, after, -batch):
        size, over = _range(conn, _BYTES, max(high - batch, after), high, room=room)
        if over is not None:
            return int(over)
        room -= size
    return after


def _ranges(after: int, last: int, batch: int) -> Iterator[tuple[int, int]]:
    for low in range(after, last, batch):
        yield low, min(low + batch, last)


def _range(
    conn: Connection, query: LiteralString, low: int, high: int, **values: object
) -> tuple[Any, ...]:
    return _row(conn, query, {"low": low, "high": high, **values})


def _row(conn: Connection, query: LiteralString, values: Any = None) -> tuple[Any, ...]:
    row = conn.execute(query, values).fetchone()
    if row is None:
        raise psycopg.DataError("attune.stream_state is empty; migrate the database again")
    return row
