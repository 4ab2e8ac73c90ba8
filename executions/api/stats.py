"""What went on in the last minutes, by one statement.

It looks at executions that are not over, and at those that changed within the window: two
indexes, so that it costs as much as there is to tell, however large the table is.
"""

from __future__ import annotations

import json
from typing import Any

from django.db import connection
from psycopg import sql

from executions.filters import Filter, table_where
from executions.status import STATUSES, TERMINAL

MAX_MINUTES = 24 * 60
MAX_ACTIONS = 50

_STATS = sql.SQL("""
WITH bounds AS MATERIALIZED (
    SELECT now() AS upto, {since} AS since
), recent AS MATERIALIZED (
    SELECT action_ref, status, created >= since AS is_new, created,
        status = ANY (%(terminal)s) AS is_over,
        status = ANY (%(terminal)s) AND finished >= since AS has_ended, finished,
        status IN ('failed', 'timeout', 'abandoned') AS has_failed,
        extract(epoch FROM finished - started)::float8 AS seconds
    FROM attune.execution, bounds
    WHERE {condition} AND (updated >= {since} OR status = ANY (%(active)s))
), ended AS (
    SELECT count(*) FILTER (WHERE seconds IS NOT NULL) AS count,
        percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY seconds) AS p,
        max(seconds) AS max
    FROM recent WHERE has_ended
), by_action AS (
    SELECT action_ref, count(*) FILTER (WHERE NOT is_over) AS active,
        count(*) FILTER (WHERE is_new) AS created, count(*) FILTER (WHERE has_ended) AS finished,
        count(*) FILTER (WHERE has_ended AND has_failed) AS failed,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE has_ended) AS p50,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE has_ended) AS p95
    FROM recent WHERE NOT is_over OR has_ended OR is_new GROUP BY action_ref
), began AS (
    SELECT date_trunc('minute', created) AS minute, count(*) AS created
    FROM recent WHERE is_new GROUP BY 1
), finished AS (
    SELECT date_trunc('minute', finished) AS minute, count(*) AS finished,
        count(*) FILTER (WHERE has_failed) AS failed
    FROM recent WHERE has_ended GROUP BY 1
)
SELECT json_build_object(
    'since', attune.iso_v1(since), 'until', attune.iso_v1(upto),
    'by_status', (SELECT coalesce(json_object_agg(status, n), '{{}}') FROM (
        SELECT status, count(*) AS n FROM recent WHERE NOT is_over OR has_ended GROUP BY 1) s),
    'by_action', (SELECT coalesce(json_agg(row_to_json(a)), '[]') FROM (
        SELECT * FROM by_action ORDER BY active + created + finished DESC, action_ref
        LIMIT %(actions)s) a),
    'per_minute', (SELECT json_agg(json_build_object('minute', attune.iso_v1(m),
            'created', coalesce(began.created, 0), 'finished', coalesce(finished.finished, 0),
            'failed', coalesce(finished.failed, 0)) ORDER BY m)
        FROM generate_series(since, upto, interval '1 minute') m
        LEFT JOIN began ON began.minute = m LEFT JOIN finished ON finished.minute = m),
    'durations', (SELECT json_build_object('count', count, 'p50', p[1], 'p90', p[2],
        'p95', p[3], 'p99', p[4], 'max', max) FROM ended)
)::text FROM bounds
""")

# Written out where it is compared, so that the planner sees how far back it goes.
_SINCE = sql.SQL("(date_trunc('minute', now()) - (%(minutes)s - 1) * interval '1 minute')")


def collect(filter: Filter, *, minutes: int) -> dict[str, Any]:
    """Return the statistics of what `filter` matches, with what may not be seen left out."""
    where = table_where(filter)
    values: dict[str, Any] = {
        **where.values,
        "minutes": minutes,
        "actions": MAX_ACTIONS,
        "terminal": sorted(TERMINAL),
        "active": sorted(set(STATUSES) - TERMINAL),
    }
    with connection.cursor() as cursor:
        cursor.execute(_STATS.format(condition=where.condition, since=_SINCE), values)
        found: dict[str, Any] = json.loads(cursor.fetchone()[0])
    found["by_status"] = {status: found["by_status"].get(status, 0) for status in STATUSES}
    return found
