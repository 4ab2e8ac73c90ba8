from __future__ import annotations

import subprocess
import sys

from tests.rows import Connection, add_execution, inbox, one
from tests.servers import PROJECT, product_env


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
