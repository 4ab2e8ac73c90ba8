"""Migrations beside writers: the short form of `make upgrade-check`, and a rule for new ones."""

from __future__ import annotations

import io
import random
import re
import time
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from django.core.management import call_command
from psycopg import sql

from attune.local.postgres import EmbeddedPostgres
from bench.upgrade import check
from bench.upgrade.steps import migrations, sequencer
from bench.upgrade.traffic import LONG_SECONDS, Traffic
from tests.rows import Connection, one

NAMES = migrations()
# Locks that make a writer wait, or whoever reads.
STRONG = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
LONGEST_MILLISECONDS = 50
_HELD = """
    SELECT DISTINCT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode = ANY (%s)
        AND c.oid = ANY (%s)
"""
# Of those whose waits are in the books: the one that takes its time may have waited for longer.
_LONGEST_WAIT = """
    SELECT extract(epoch FROM max(clock_timestamp() - l.waitstart))
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE a.datname = current_database() AND a.application_name = 'writer'
"""
_TABLES = """
    SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'attune'::regnamespace
"""
# What does not keep writers waiting, and must not stand in a transaction.
_BESIDE_WRITERS = re.compile(
    r"(CREATE|DROP) INDEX CONCURRENTLY|ALTER TABLE attune\.\w+ VALIDATE CONSTRAINT|SET LOCAL"
)


@pytest.fixture
def empty(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a database without any table."""
    name = f"upgrade_{uuid4().hex[:12]}"
    postgres.create_database(name)
    yield postgres.url(name)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.timeout(300)
def test_it_migrates_there_and_back_while_writers_write(empty: str) -> None:
    way = ["0003", NAMES[-1], "0006"]
    seed = random.getrandbits(32)
    result = check.run(empty, rows=5_000, rate=50, seed=seed, calm_seconds=0.5, way=way)
    assert result.errors == []
    assert result.findings.clean, result.findings
    # One that waits for the slow writer keeps all others waiting for what is left of its time.
    waits = {step.name: step.longest_lock_wait for step in result.steps}
    assert max(waits.values()) < LONG_SECONDS[0] / 2, waits
    assert len(result.steps) == len(way)
    assert all(step.updates > 10 for step in result.steps)
    assert result.events > 100


def test_the_check_sees_a_writer_that_has_to_wait(conn: Connection, database: str) -> None:
    conn.execute(
        "INSERT INTO attune.execution (action_ref) SELECT 'a.b' FROM generate_series(1,10)"
    )
    traffic, result = Traffic(database, rows=10, rate=50, seed=1), check.Result(10, 50)

    def keep_waiting() -> None:
        with psycopg.connect(database) as other:
            other.execute("LOCK TABLE attune.execution IN SHARE ROW EXCLUSIVE MODE")
            while not (one(conn, _LONGEST_WAIT) or 0) > 0.5:
                time.sleep(0.01)

    with traffic.running():
        check._measure("blocked", result, traffic, keep_waiting)
    assert result.steps[0].longest_lock_wait > 0.4
    assert result.steps[0].longest > 0.5


def test_each_version_has_its_sequencer(conn: Connection) -> None:
    functions = [row[0] for row in conn.execute("SELECT proname FROM pg_proc").fetchall()]
    assert {sequencer(name) for name in NAMES} - {None} <= set(functions)
    newest = max(name for name in functions if re.fullmatch(r"sequence_v\d+", name))
    assert sequencer(NAMES[-1]) == newest, "name the new one in bench/upgrade/steps.py"


@pytest.mark.django_db(transaction=True)  # as some of them have to be outside of one
def test_no_migration_waits_for_a_strong_lock_for_long(empty: str) -> None:
    check.migrate(empty, NAMES[0])
    with psycopg.connect(empty, autocommit=True, options="-c search_path=attune,public") as conn:
        for name in NAMES[1:]:
            _run(conn, name, backwards=False)
        for name in reversed(NAMES[1:]):
            _run(conn, name, backwards=True)


def _run(conn: Connection, name: str, *, backwards: bool) -> None:
    """Run one migration as it would be run, and hold what it locks against the rule."""
    out = io.StringIO()
    call_command("sqlmigrate", "executions", name, backwards=backwards, no_color=True, stdout=out)
    text = out.getvalue()
    if not text.startswith("BEGIN;"):
        for statement in _statements(text):
            assert _BESIDE_WRITERS.match(statement), f"{name}: {statement}"
            conn.execute(statement)
        return
    tables = [row[0] for row in conn.execute(_TABLES).fetchall()]
    conn.execute(text.rpartition("COMMIT;")[0])
    held = conn.execute(_HELD, [list(STRONG), tables]).fetchall()
    timeout = one(conn, "SELECT setting::integer FROM pg_settings WHERE name = 'lock_timeout'")
    conn.execute("COMMIT")
    assert not held or 0 < timeout <= LONGEST_MILLISECONDS, (
        f"{name} takes {held} without a lock_timeout: name them as `locks` of its RunSQLFile"
    )


def _statements(text: str) -> list[str]:
    lines = (line for line in text.splitlines() if line and not line.startswith("--"))
    return [part.strip() for part in "\n".join(lines).split(";") if part.strip()]
