"""The log: the only code that reads or writes `execution_event` and `stream_state`.

Plain psycopg on connections the caller owns, no Django: the worker and the web process both
use it from asyncio. The writing itself is one SQL function, `attune.sequence_v1`, so that it
is one transaction whatever happens to the process that asked for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg

CHANNEL = "attune_notifications"
MAX_BIGINT = 2**63 - 1

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]

_POSITION = re.compile(r"([0-9a-f]{4,32})-(0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the log: after event `seq` of `epoch`. Written `epoch-seq`."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Return the position that `text` writes, or None where it writes none."""
        match = _POSITION.fullmatch(text)
        if match is None or int(match[2]) > MAX_BIGINT:
            return None
        return cls(match[1], int(match[2]))


@dataclass(frozen=True, slots=True)
class Event:
    """One committed change. `body` is the JSON text that streams send, without newlines."""

    seq: int
    execution: int
    version: int
    op: str
    status: str
    old_status: str | None
    action_ref: str
    parent: int | None
    body: str


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
class Sequenced:
    """What one call of the sequencer did; an empty range where the inbox was empty."""

    epoch: str
    first_seq: int
    last_seq: int

    @property
    def count(self) -> int:
        return self.last_seq - self.first_seq + 1


_READ = """
    SELECT seq, execution, version, op, status, old_status, action_ref, parent, event
    FROM attune.execution_event
    WHERE seq > %s AND seq <= %s
    ORDER BY seq LIMIT %s
"""
_READ_OF = """
    SELECT seq, execution, version, op, status, old_status, action_ref, parent, event
    FROM attune.execution_event
    WHERE execution = ANY (%s) AND seq > %s AND seq <= %s
    ORDER BY seq LIMIT %s
"""


async def listen(conn: Connection) -> tuple[Position, str]:
    """Start to LISTEN on `conn` (in autocommit); return the log's position and epoch before.

    Every worker calls this once a connection: it is also where a log that lives in another
    database than the one it was numbered in gets its new epoch. Mostly, both are the same.
    """
    await conn.execute(f"LISTEN {CHANNEL}")
    cursor = await conn.execute(
        "SELECT epoch, last_seq, previous_epoch FROM attune.stream_open_v1()"
    )
    epoch, last_seq, previous_epoch = _only(await cursor.fetchone())
    return Position(epoch, last_seq), previous_epoch


async def sequence(conn: Connection, *, batch: int) -> Sequenced | None:
    """Move up to `batch` changes from the inbox to the log, in one transaction of its own.

    Returns None where another worker is doing so right now.
    """
    cursor = await conn.execute(
        "SELECT epoch, first_seq, last_seq FROM attune.sequence_v1(%s)", [batch]
    )
    row = await cursor.fetchone()
    return None if row is None else Sequenced(*row)


async def state(conn: Connection) -> LogState:
    """Return where the log stands now."""
    cursor = await conn.execute("SELECT epoch, last_seq, floor_seq FROM attune.stream_state")
    return LogState(*_only(await cursor.fetchone()))


async def read(
    conn: Connection,
    *,
    after: int,
    upto: int = MAX_BIGINT,
    limit: int,
    executions: frozenset[int] | None = None,
) -> list[Event]:
    """Return at most `limit` events with `after < seq <= upto`, in order.

    With `executions`, only theirs, by an index. Fewer than `limit` means: there are no more.
    """
    if executions is None:
        cursor = await conn.execute(_READ, [after, upto, limit])
    else:
        cursor = await conn.execute(_READ_OF, [sorted(executions), after, upto, limit])
    return [Event(*row) for row in await cursor.fetchall()]


def _only(row: tuple[Any, ...] | None) -> tuple[Any, ...]:
    if row is None:
        raise psycopg.DataError("attune.stream_state is empty; migrate the database again")
    return row
