"""Batches too large to come back from the sequencer: the worker reads them from the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.rows import add_execution
from tests.servers import Stack, wait_for
from tests.sse_client import open_stream

ROWS = 400
BATCHES = 30
READER = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'attune worker'"
    " AND datname = current_database() AND position('execution_event' in query) > 0"
)
CUT = "SELECT pg_terminate_backend(%s)"
Connection = psycopg.Connection[tuple[Any, ...]]


def add_many(conn: Connection, parent: int) -> None:
    conn.execute(
        "INSERT INTO attune.execution (action_ref, parent)"
        " SELECT 'tests.many', %s FROM generate_series(1, %s)",
        [parent, ROWS],
    )


def readers(conn: Connection) -> int:
    return len(conn.execute(READER).fetchall())


def cut_readers(conn: Connection) -> int:
    return sum(conn.execute(CUT, row).rowcount for row in conn.execute(READER).fetchall())


def watched(stack: Stack, after_each: Callable[[Connection], int]) -> int:
    """Hold what a stream tells against what was written; return the sum of `after_each`."""
    with stack.sql() as conn:
        parent, counted = add_execution(conn), 0
        with open_stream(stack.stream_url, stack.token(), parent=parent) as stream:
            for _ in range(BATCHES):
                add_many(conn, parent)
                counted += after_each(conn)
            told = [stream.next()["entity_id"] for _ in range(ROWS * BATCHES)]
        ids = conn.execute(
            "SELECT id FROM attune.execution WHERE parent = %s ORDER BY id", [parent]
        ).fetchall()
    assert told == [row[0] for row in ids]
    return counted


def test_they_arrive_whole_and_the_second_connection_is_not_kept(own_stack: Stack) -> None:
    seen = watched(own_stack, readers)
    assert seen
    with own_stack.sql() as conn:
        wait_for(lambda: not readers(conn), "it to be closed")


def test_they_arrive_whole_though_that_connection_is_cut(own_stack: Stack) -> None:
    cut = watched(own_stack, cut_readers)
    assert cut
    assert "Traceback" not in own_stack.processes["worker"].output


@pytest.fixture
def lonely_role(own_stack: Stack) -> Iterator[str]:
    """A role that may open one connection, and do everything with it."""
    name = f"lonely_{uuid4().hex[:8]}"
    role = sql.Identifier(name)
    with own_stack.sql() as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT 1").format(role))
        for what in (
            "SCHEMA attune",
            "ALL TABLES IN SCHEMA attune",
            "ALL SEQUENCES IN SCHEMA attune",
        ):
            conn.execute(sql.SQL("GRANT ALL ON {} TO {}").format(sql.SQL(what), role))
        yield name
        own_stack.processes["worker"].stop()
        conn.execute(sql.SQL("DROP OWNED BY {}").format(role))
        conn.execute(sql.SQL("DROP ROLE {}").format(role))


def test_they_arrive_whole_where_no_second_connection_is_left(
    own_stack: Stack, lonely_role: str
) -> None:
    own_stack.processes["worker"].stop()
    url = own_stack.database_url.replace("postgres@", f"{lonely_role}@")
    worker = own_stack.start_worker(ATTUNE_LISTEN_DATABASE_URL=url)
    wait_for(lambda: worker.output.count("action=listen") == 2, "the worker to listen")
    watched(own_stack, readers)
    assert "action=read connection=shared" in worker.output
    assert worker.output.count("action=listen") == 2  # it never lost its own
