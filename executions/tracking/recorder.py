"""Brings the row of an execution to where its record is, whenever the database is there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from random import uniform
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from executions.status import TERMINAL, Status
from executions.tracking.record import Record
from executions.tracking.spool import Lease

POLL_SECONDS = 1.0  # how soon a cancellation is seen
RETRY_SECONDS = (0.2, 5.0)  # first and longest wait before connecting again

# The id is taken first, so that an INSERT whose answer was lost can be made again. Where action
# or parent is deleted in just that moment, it fails, and finds none the next time.
_NEXT_ID = "SELECT nextval(pg_get_serial_sequence('attune.execution', 'id'))"
_INSERT = """
    INSERT INTO attune.execution (id, action, action_ref, config, parent, created)
    VALUES (
        %(id)s,
        (SELECT a.id FROM attune.action a WHERE a.ref = %(action_ref)s),
        %(action_ref)s,
        %(config)s,
        (SELECT e.id FROM attune.execution e WHERE e.id = %(parent)s),
        %(created)s)
    ON CONFLICT (id) DO NOTHING
"""
# Not where somebody has cancelled it before it began.
_START = """
    UPDATE attune.execution SET status = 'running', started = %(started)s
    WHERE id = %(id)s AND status IN ('requested', 'scheduling', 'scheduled')
"""
# What somebody else has ended stays so, and gets the result.
_FINISH = """
    UPDATE attune.execution
    SET status = CASE WHEN status = ANY (%(terminal)s) THEN status ELSE %(status)s END,
        started = coalesce(started, %(started)s),
        finished = coalesce(finished, %(finished)s),
        result = %(result)s
    WHERE id = %(id)s
"""
# Not where its end was recorded before the kill, or by somebody else.
_ABANDON = """
    UPDATE attune.execution
    SET status = 'abandoned', finished = greatest(started, %(seen)s), result = %(result)s
    WHERE id = %(id)s AND status <> ALL (%(terminal)s)
"""
_STATUS = "SELECT status FROM attune.execution WHERE id = %s"
_CANCELLED = (Status.CANCELING, Status.CANCELLED)


def abandon(record: Record, conninfo: str, *, seen: datetime) -> None:
    """Record that whoever tracked it was killed, and was there for the last time at `seen`."""
    result = {"error": "manage.py track was killed; how the command ended is not known."}
    values = _values(record) | {"result": Jsonb(result), "seen": seen, "terminal": sorted(TERMINAL)}
    with psycopg.connect(conninfo, autocommit=True, prepare_threshold=None) as conn:
        conn.execute(_ABANDON, values)


class Writer:
    """Writes a record over a connection, opened when needed; each step may be made again."""

    def __init__(self, record: Record, conninfo: str) -> None:
        self.record = record
        self.is_inserted = self.is_started = self.is_finished = False
        self.on_id: Callable[[], None] = lambda: None  # before there is a row
        self._conninfo = conninfo
        self._conn: psycopg.Connection[tuple[Any, ...]] | None = None

    def write(self) -> str | None:
        """Bring the row to where the record is, and return its status; None where it is gone.

        Raises psycopg.Error where the database is away or refuses.
        """
        try:
            return self._write()
        except psycopg.Error:
            self.close()
            raise

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _write(self) -> str | None:
        record = self.record
        finished = record.finished is not None  # once: another thread sets it
        if record.id is None:
            row = self._execute(_NEXT_ID, {}).fetchone()
            assert row is not None
            record.id = int(row[0])
            self.on_id()
        if not self.is_inserted:
            self._execute(_INSERT, _values(record))
            self.is_inserted = True
        if record.started is not None and not self.is_started:
            self._execute(_START, _values(record))
            self.is_started = True
        if finished:
            self._execute(_FINISH, _values(record) | {"terminal": sorted(TERMINAL)})
            self.is_finished = True
        row = self._execute(_STATUS, [record.id]).fetchone()
        return None if row is None else str(row[0])

    def _execute(self, statement: str, values: Any) -> psycopg.Cursor[tuple[Any, ...]]:
        if self._conn is None:
            # Nothing prepared: the URL may lead to a transaction-pooling bouncer.
            self._conn = psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=None)
        return self._conn.execute(statement, values)


class Recorder:
    """Keeps a row up to date, in a thread of its own: the command waits for no database.

    `say` takes a line for people. While it has a row, there is a lease in `folder`, if that can
    be written.
    """

    def __init__(self, writer: Writer, *, say: Callable[[str], None], folder: Path) -> None:
        self.tried = threading.Event()  # whether or not it went well
        self.done = threading.Event()
        self._writer = writer
        writer.on_id = self._take_lease
        self._say = say
        self._folder = folder
        self._lease: Lease | None = None
        self._on_cancel: Callable[[], None] | None = None
        self._wake = threading.Event()
        self._said = False
        # It may hang in a connection that is dead, and must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def on_cancel(self, call: Callable[[], None]) -> None:
        """Call this, once, when somebody wants the execution to end."""
        self._on_cancel = call

    def wake(self) -> None:
        """Look at the record now."""
        self._wake.set()

    def release(self) -> None:
        """Somebody else sees to the record."""
        if lease := self._lease:
            self._lease = None
            lease.release()

    def _take_lease(self) -> None:
        with suppress(OSError):
            self._lease = Lease(self._folder, self._writer.record)

    def _run(self) -> None:
        wait = RETRY_SECONDS[0]
        while not self._writer.is_finished:
            try:
                self._take(self._writer.write())
                wait = RETRY_SECONDS[0]
                seconds = POLL_SECONDS
            except psycopg.Error as exc:
                self._lost(exc)
                seconds = wait * uniform(0.5, 1.0)
                wait = min(wait * 2, RETRY_SECONDS[1])
            self.tried.set()
            if not self._writer.is_finished:
                self._wake.wait(seconds)
                self._wake.clear()
            if lease := self._lease:
                lease.renew()
        self.release()
        self._writer.close()
        if self._said:
            self._say(f"recorded as #{self._writer.record.id}")
        self.done.set()

    def _take(self, status: str | None) -> None:
        if status in _CANCELLED and self._on_cancel is not None:
            on_cancel, self._on_cancel = self._on_cancel, None
            on_cancel()

    def _lost(self, exc: psycopg.Error) -> None:
        if not self._said:
            self._said = True
            reason = " ".join((exc.diag.message_primary or str(exc)).split())
            self._say(f"not recorded for now ({reason}); the command goes on")


def _values(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "action_ref": record.action_ref,
        "config": Jsonb(record.config),
        "parent": record.parent,
        "created": record.created,
        "started": record.started,
        "finished": record.finished,
        "status": record.status,
        "result": Jsonb(record.result),
    }
