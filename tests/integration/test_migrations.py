from __future__ import annotations

import subprocess
import sys
import threading

import psycopg

from tests.rows import Connection, add_execution, inbox, one, set_status
from tests.servers import PROJECT, product_env, wait_for


def migrate(database: str, *arguments: str, **env: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0", *arguments],
        env=product_env(database) | env,
        cwd=PROJECT,
        check=True,
    )


def test_it_goes_back_and_forth(conn: Connection, database: str) -> None:
    migrate(database, "executions", "zero")
    left = "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
    assert one(conn, f"{left} WHERE n.nspname = 'attune'") == 0
    assert one(conn, "SELECT to_regclass('attune.execution') IS NULL")
    migrate(database)
    execution = add_execution(conn)
    assert inbox(conn) == [(execution, 1, "INSERT", "requested", None)]


def test_it_hands_the_result_limit_to_the_trigger(conn: Connection, database: str) -> None:
    migrate(database, ATTUNE_RESULT_MAX_BYTES="100")
    add_execution(conn, result='"' + "x" * 90 + '"')
    add_execution(conn, result='"' + "x" * 99 + '"')
    truncated = conn.execute("SELECT truncated FROM attune.execution_inbox ORDER BY id")
    assert [row[0] for row in truncated] == [False, True]


def test_it_lets_writers_go_on_while_one_of_them_takes_long(
    conn: Connection, database: str
) -> None:
    execution, other = add_execution(conn), add_execution(conn)
    migrate(database, "executions", "0006")
    assert one(conn, "SELECT max(seq) FROM attune.sequence_v2(100)") == 2
    with psycopg.connect(database) as slow:
        set_status(slow, execution, "running")
        migration = threading.Thread(target=migrate, args=[database])
        migration.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        wait_for(lambda: one(conn, waiting), "the migration to wait for the writer")
        for status in ("scheduled", "running", "completed") * 3:
            conn.execute("SET statement_timeout = '2s'")
            set_status(conn, other, status)
        assert migration.is_alive()
        slow.commit()
        migration.join()
    assert one(conn, "SELECT to_regprocedure('attune.sequence_v4(integer)') IS NOT NULL")
    set_status(conn, other, "failed")
    assert len(inbox(conn)) == 11
