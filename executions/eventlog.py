"""The log: the only code that reads or writes `execution_event` and `stream_state`.

Plain psycopg on connections the caller owns, no Django: the worker and the web process both
use it from asyncio, and requests with a cursor of theirs. The writing itself is one SQL
function, `attune.sequence_v4`, so that it is one transaction whatever happens to the process
that asked for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import psycopg
from psycopg import sql

from executions.positions import Position

CHANNEL = "attune_notifications"
_TIMESTAMP = '"timestamp":"'  # always the third key of a body

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]


class Cursor(Protocol):
    """What a request has: psycopg's cursor, or Django's around it."""

    def execute(self, query: Any, params: Any = ..., /) -> Any: ...
    def fetchone(self) -> tuple[Any, ...] | None: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


class Event(NamedTuple):
    """One committed change. `body` is the JSON text that streams send, without newlines.

    Of `old_action_ref` it says nothing, nor of `old_parent`: not everybody may know them. See
    `executions.moves`. They are None where that has not changed.
    """

    seq: int
    execution: int
    version: int
    op: str
    status: str
    old_status: str | None
    action_ref: str
    parent: int | None
    ancestors: list[int] | None  # the parent, its parent, and so on; in no order
    body: str
    old_action_ref: str | None = None
    old_parent: int | None = None
    old_ancestors: list[int] | None = None  # not None where it has another parent than before

    @property
    def is_move(self) -> bool:
        """Whether it has another action_ref or another parent than before."""
        return self.old_action_ref is not None or self.old_ancestors is not None

    @property
    def changed(self) -> float:
        """When the statement ran that made the change, as a POSIX timestamp of the database."""
        begin = self.body.index(_TIMESTAMP) + len(_TIMESTAMP)
        return datetime.fromisoformat(self.body[begin : self.body.index('"', begin)]).timestamp()


@dataclass(frozen=True, slots=True)
class LogState:
    """Where the log stands: events `floor_seq + 1` to `last_seq` of `epoch` can be read."""

    epoch: str
    last_seq: int
    floor_seq: int

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.last_seq)


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of the log: every event that was asked for, up to and including `upto`."""

    events: list[Event]
    upto: int


@dataclass(frozen=True, slots=True)
class Sequenced:
    """What one call of the sequencer did; an empty range where the inbox was empty.

    `events` is empty, too, where they were too many for one answer: read them from the log.
    """

    epoch: str
    first_seq: int
    last_seq: int
    events: tuple[Event, ...]

    @property
    def count(self) -> int:
        return self.last_seq - self.first_seq + 1


# Ours among the advisory locks of the database, by "att": a worker is connected; writers may
# leave out NOTIFY (see 0006_writer.sql); a worker polls.
_WORKER_LOCK, _NOTIFY_LOCK, _POLL_LOCK = ((0x617474, number) for number in (1, 2, 3))

# `before`: the bytes of those before it, which decide how far a page goes.
_READ = sql.SQL("""
    SELECT seq, execution, version, op, status, old_status, action_ref, parent, ancestors, event,
        old_action_ref, old_parent, old_ancestors
    FROM (
        SELECT *, sum(bytes) OVER (ORDER BY {seq} ROWS UNBOUNDED PRECEDING) - bytes AS before
        FROM attune.execution_event
        WHERE seq > %(after)s AND seq <= %(upto)s AND {condition}
        ORDER BY {seq} LIMIT %(limit)s
    ) page
    WHERE before < %(max_bytes)s
    ORDER BY {seq}
""")
_FORWARDS, _BACKWARDS = sql.SQL("seq"), sql.SQL("seq DESC")
# How much of the log one page looks through: a filter that matches nothing must not keep a
# connection for seconds.
SCANNED_EVENTS = 50_000
_READ_ALL = _READ.format(condition=sql.SQL("true"), seq=_FORWARDS).as_bytes(None)  # once
_STATE = "SELECT epoch, last_seq, floor_seq FROM attune.stream_state"


async def listen(conn: Connection) -> tuple[Position, str]:
    """Start to LISTEN on `conn` (in autocommit); return the log's position and epoch before.

    Every worker calls this once a connection: it is also where a log that lives in another
    database than the one it was numbered in gets its new epoch. Mostly, both are the same.
    """
    await conn.execute(f"LISTEN {CHANNEL}")
    await conn.execute("SELECT pg_advisory_lock_shared(%s, %s)", _WORKER_LOCK)
    cursor = await conn.execute(
        "SELECT epoch, last_seq, previous_epoch FROM attune.stream_open_v2()"
    )
    epoch, last_seq, previous_epoch = _only(await cursor.fetchone())
    return Position(epoch, last_seq), previous_epoch


async def await_notify(conn: Connection) -> Literal["self", "other"] | None:
    """Make writers NOTIFY from here on; return which worker does, or None: keep polling.

    After "self", look once more before waiting: those who sent nothing are through by now.
    """
    cursor = await conn.execute("SELECT attune.await_notify_v1()")
    by: Literal["self", "other"] | None = _only(await cursor.fetchone())[0]
    return by


async def say_polling(conn: Connection) -> bool:
    """Tell the other workers that this one polls; False where one of them already does."""
    cursor = await conn.execute("SELECT pg_try_advisory_lock(%s, %s)", _POLL_LOCK)
    return bool(_only(await cursor.fetchone())[0])


async def say_no_longer_polling(conn: Connection) -> None:
    """Take back `say_polling` where it said True."""
    await conn.execute("SELECT pg_advisory_unlock(%s, %s)", _POLL_LOCK)


async def let_writers_be_silent(conn: Connection) -> None:
    """Take back `await_notify` where it said "self": this worker polls."""
    await conn.execute("SELECT pg_advisory_unlock(%s, %s)", _NOTIFY_LOCK)


async def workers(conn: Connection) -> int:
    """Return how many workers are connected: each holds a shared lock as long as it is."""
    cursor = await conn.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND classid = %s AND objid = %s",
        _WORKER_LOCK,
    )
    return int(_only(await cursor.fetchone())[0])


async def sequence(conn: Connection, *, batch: int) -> Sequenced | None:
    """Move up to `batch` changes from the inbox to the log, in one transaction of its own.

    Returns None where another worker is doing so right now.
    """
    cursor = await conn.execute("SELECT * FROM attune.sequence_v4(%s)", [batch])
    rows = await cursor.fetchall()
    if not rows:
        return None
    events = tuple(Event(*row[3:]) for row in rows if row[3] is not None)
    epoch, first_seq, last_seq = rows[0][:3]
    return Sequenced(epoch, first_seq, last_seq, events)


async def state(conn: Connection) -> LogState:
    """Return where the log stands now."""
    cursor = await conn.execute(_STATE)
    return LogState(*_only(await cursor.fetchone()))


def state_now(cursor: Cursor) -> LogState:
    """Return the same to a request."""
    cursor.execute(_STATE)
    return LogState(*_only(cursor.fetchone()))


async def read(
    conn: Connection,
    *,
    after: int,
    upto: int,
    limit: int,
    max_bytes: int,
    condition: sql.Composable | None = None,
    values: Mapping[str, object] | None = None,
) -> Page:
    """Return the next events with `after < seq <= upto`, in order.

    At most `limit`, and about `max_bytes` of bodies, but at least one where there is one
    within reach. `condition` is on columns of the log, `values` are its placeholders'.
    """
    upto = min(upto, after + SCANNED_EVENTS)
    bounds = {"after": after, "upto": upto, "limit": limit, "max_bytes": max_bytes}
    query = _READ_ALL if condition is None else _READ.format(condition=condition, seq=_FORWARDS)
    # Planned anew each time: a plan that is kept may be of a time when the log was empty.
    cursor = await conn.execute(query, {**(values or {}), **bounds}, prepare=False)
    events = [Event(*row) for row in await cursor.fetchall()]
    is_cut = _is_cut(events, limit=limit, max_bytes=max_bytes)
    return Page(events, events[-1].seq if is_cut else upto)


def history(
    cursor: Cursor,
    *,
    after: int,
    before: int,
    newest_first: bool,
    limit: int,
    max_bytes: int,
    condition: sql.Composable,
    values: Mapping[str, object],
) -> tuple[list[Event], bool]:
    """Return the first events with `after < seq < before` to a request, bounded in the same way.

    The second value says whether there may be more. `condition` has to be one that an index
    answers, such as a single execution: the whole log is looked through.
    """
    bounds = {"after": after, "upto": before - 1, "limit": limit, "max_bytes": max_bytes}
    query = _READ.format(condition=condition, seq=_BACKWARDS if newest_first else _FORWARDS)
    cursor.execute(query, {**values, **bounds})
    events = [Event(*row) for row in cursor.fetchall()]
    return events, _is_cut(events, limit=limit, max_bytes=max_bytes)


def _is_cut(events: list[Event], *, limit: int, max_bytes: int) -> bool:
    return len(events) == limit or sum(len(e.body.encode()) for e in events) >= max_bytes


def _only(row: tuple[Any, ...] | None) -> tuple[Any, ...]:
    if row is None:
        raise psycopg.DataError("attune.stream_state is empty; migrate the database again")
    return row
