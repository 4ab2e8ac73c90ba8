"""Rows as a test needs them, written as any foreign program would: in plain SQL."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from psycopg import sql

from executions.eventlog import Event

Connection = psycopg.Connection[tuple[Any, ...]]


def add_execution(conn: Connection, action_ref: str = "tests.run", **columns: Any) -> int:
    """Insert an execution and return its id."""
    values = {"action_ref": action_ref, **columns}
    row = conn.execute(
        sql.SQL("INSERT INTO attune.execution ({}) VALUES ({}) RETURNING id").format(
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
        ),
        list(values.values()),
    ).fetchone()
    assert row is not None
    return int(row[0])


def set_status(conn: Connection, execution: int, status: str) -> None:
    conn.execute("UPDATE attune.execution SET status = %s WHERE id = %s", [status, execution])


def column(conn: Connection, execution: int, name: str) -> Any:
    row = conn.execute(
        sql.SQL("SELECT {} FROM attune.execution WHERE id = %s").format(sql.Identifier(name)),
        [execution],
    ).fetchone()
    assert row is not None
    return row[0]


def inbox(conn: Connection) -> list[tuple[Any, ...]]:
    """Return (execution, version, op, status, old_status) of what waits to be sequenced."""
    return conn.execute(
        "SELECT execution, version, op, status, old_status FROM attune.execution_inbox ORDER BY id"
    ).fetchall()


def sequence(conn: Connection, batch: int = 1_000_000) -> tuple[Any, ...] | None:
    """Run the sequencer once; return (epoch, first_seq, last_seq)."""
    return conn.execute(
        "SELECT epoch, first_seq, last_seq FROM attune.sequence_v4(%s)", [batch]
    ).fetchone()


def events(conn: Connection) -> list[dict[str, Any]]:
    """Return the log's events as streams send them."""
    rows = conn.execute("SELECT event FROM attune.execution_event ORDER BY seq").fetchall()
    return [json.loads(row[0]) for row in rows]


def log(conn: Connection, seqs: range = range(2**62)) -> list[Event]:
    """Return rows of the log as the worker and the web process have them."""
    columns = sql.SQL(", ").join(map(sql.Identifier, Event._fields[:9]))
    rows = conn.execute(
        sql.SQL(
            "SELECT {}, event, old_action_ref, old_parent, old_ancestors"
            " FROM attune.execution_event WHERE seq >= %s AND seq < %s ORDER BY seq"
        ).format(columns),
        [seqs.start, seqs.stop],
    )
    return [Event(*row) for row in rows]


def one(conn: Connection, query: str, *values: Any) -> Any:
    """Return the single value of a query."""
    row = conn.execute(query, list(values)).fetchone()
    assert row is not None
    return row[0]
