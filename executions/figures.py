"""How the database stands: what the metrics, the probes and the doctor tell of it. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psycopg

from executions import eventlog
from executions.eventlog import Connection

# Beyond it, how deep exactly makes no difference, and to count it costs the worker.
MOST_COUNTED = 100_000

_FIGURES = f"""
    SELECT s.last_seq, s.last_seq - s.floor_seq,
        pg_total_relation_size('attune.execution_event'),
        (SELECT count(*) FROM (SELECT FROM attune.execution_inbox LIMIT {MOST_COUNTED}) AS counted),
        coalesce((SELECT greatest(0, extract(epoch FROM clock_timestamp() - i.recorded))::float8
            FROM attune.execution_inbox i ORDER BY i.id LIMIT 1), 0),
        pg_notification_queue_usage(),
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
        current_setting('max_connections')::integer,
        extract(epoch FROM clock_timestamp())::float8
    FROM attune.stream_state s
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """`inbox` is counted up to MOST_COUNTED. `clock_ahead`: of ours, in seconds."""

    last_seq: int
    log_events: int
    log_bytes: int
    inbox: int
    inbox_age_seconds: float
    notify_queue: float
    connections: int
    connection_limit: int
    clock_ahead: float
    workers: int


async def read(conn: Connection) -> Figures:
    """Read them all; raises psycopg.Error."""
    workers = await eventlog.workers(conn)
    asked = time.time()
    cursor = await conn.execute(_FIGURES)
    row = await cursor.fetchone()
    if row is None:
        raise psycopg.DataError("attune.stream_state is empty; migrate the database again")
    # The database looked at its clock at some time in between.
    clock_ahead = row[-1] - (asked + time.time()) / 2
    values: tuple[Any, ...] = (*row[:-1], clock_ahead, workers)
    return Figures(*values)
