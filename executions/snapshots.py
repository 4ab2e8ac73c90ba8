"""The current state of executions, at one exact place in the log.

A change that is committed but not sequenced yet is already in the table, while its event is
still to come. A snapshot therefore says which executions have such changes and up to which
version, so that a stream can leave out the events that would take its client back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import IsolationLevel, sql

from executions import eventlog
from executions.eventlog import Connection
from executions.filters import Filter, Where, table_where
from executions.positions import Position

_ROWS = sql.SQL("""
    SELECT id, event FROM (
        SELECT id, event, sum(octet_length(event)) OVER (ORDER BY id DESC) - octet_length(event)
            AS before
        FROM (
            SELECT id, attune.state_json_v1(e, %(result_max_bytes)s) AS event
            FROM attune.execution e WHERE {condition} ORDER BY id DESC LIMIT %(limit)s
        ) AS newest
    ) AS summed WHERE before < %(max_bytes)s
""")
_STATUSES = sql.SQL("""
    SELECT id, status FROM attune.execution WHERE {condition} ORDER BY id DESC LIMIT %(limit)s
""")
_COUNT = sql.SQL("""
    SELECT count(*) FROM (
        SELECT FROM attune.execution WHERE {condition} LIMIT %(limit)s
    ) AS matching
""")
# What is committed and visible to us, but not sequenced.
_AHEAD = sql.SQL("""
    SELECT execution, max(version), bool_or(op = 'DELETE') FROM attune.execution_inbox
    WHERE execution IN (SELECT id FROM attune.execution WHERE {condition}) GROUP BY execution
""")

# Deleted, or moved: by what is left of its surroundings.
_LEAVING = """
    SELECT 1 FROM attune.execution_inbox
    WHERE (op = 'DELETE' OR moved OR old_action_ref IS NOT NULL)
        AND (execution = ANY (%(ids)s) OR parent = ANY (%(ids)s) OR old_parent = ANY (%(ids)s))
    LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a snapshot may cost: rows, their bytes as JSON, and executions to watch."""

    rows: int
    bytes: int
    result_bytes: int
    watched: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was true at `position`, the end of the log as the snapshot saw it.

    `rows` are JSON texts in the words of an event, newest execution first; not `complete`
    where there were more than the limits allow. `ahead` are the versions of these rows that
    the log has not; of a row that was left out, the client is to get every event.
    """

    position: Position
    rows: list[str]
    complete: bool
    ahead: dict[int, int]


@dataclass(frozen=True, slots=True)
class Statuses:
    """The statuses of what a stream watches until it ends, at `position`.

    `ahead` are those whose last change is not in the log yet. Not `complete` where there were more
    executions than the limit. `leaving`: something that was among them is not any more, and the
    log does not say so yet.
    """

    position: Position
    statuses: dict[int, str]
    complete: bool
    ahead: set[int]
    leaving: bool


async def take(conn: Connection, filter: Filter, bounds: Bounds) -> Snapshot:
    """Read the executions that match now. `conn` must not be inside a transaction."""
    where = table_where(filter)
    values = {
        **where.values,
        "limit": bounds.rows,
        "max_bytes": bounds.bytes,
        "result_max_bytes": bounds.result_bytes,
    }
    await conn.set_isolation_level(IsolationLevel.REPEATABLE_READ)
    async with conn.transaction():
        position = (await eventlog.state(conn)).position
        rows = await _all(conn, _ROWS, where, values)
        count = await _all(conn, _COUNT, where, {**values, "limit": len(rows) + 1})
        ahead = await _all(conn, _AHEAD, where, values)
    shown = {row[0] for row in rows}
    return Snapshot(
        position=position,
        rows=[row[1] for row in rows],
        complete=count[0][0] <= len(rows),
        # Not what was deleted and added again, which begins at version 1: all of it is told.
        ahead={id: version for id, version, anew in ahead if id in shown and not anew},
    )


async def statuses(conn: Connection, filter: Filter, bounds: Bounds) -> Statuses:
    """Read the statuses of the executions that match now.

    `conn` must not be inside a transaction.
    """
    where = table_where(filter)
    values = {**where.values, "limit": bounds.watched + 1}
    await conn.set_isolation_level(IsolationLevel.REPEATABLE_READ)
    async with conn.transaction():
        position = (await eventlog.state(conn)).position
        found: dict[int, str] = dict(await _all(conn, _STATUSES, where, values))
        ahead = {row[0] for row in await _all(conn, _AHEAD, where, values)}
        ids = [*found, *filter.roots, *filter.executions]
        leaving = await (await conn.execute(_LEAVING, {"ids": ids})).fetchone()
    return Statuses(position, found, len(found) <= bounds.watched, ahead, bool(leaving))


async def _all(
    conn: Connection, query: sql.SQL, where: Where, values: dict[str, object]
) -> list[tuple[Any, ...]]:
    cursor = await conn.execute(query.format(condition=where.condition), values)
    return await cursor.fetchall()
