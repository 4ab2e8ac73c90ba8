from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from psycopg import sql

from attune.local.postgres import EmbeddedPostgres
from attune.local.processes import spawn
from executions.simulation import ACTIONS, LARGEST_TREE, OPEN_LIMITS, PACKS
from executions.status import TERMINAL
from tests.servers import PROJECT, Process, product_env, wait_for

Conn = psycopg.Connection[tuple[Any, ...]]
COMMAND = [sys.executable, "manage.py", "simulate"]


def simulate(database: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options],
        env=product_env(database),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )


@contextmanager
def simulating(database: str, folder: Path, *options: str) -> Iterator[Process]:
    log = folder / "simulate.log"
    with log.open("wb") as output:
        command = [sys.executable, str(PROJECT / "manage.py"), "simulate", *options]
        process = Process("simulate", spawn(command, env=product_env(database), output=output), log)
    try:
        yield process
    finally:
        process.kill()


def count(conn: Conn, condition: str = "true", table: str = "execution") -> int:
    row = conn.execute(f"SELECT count(*) FROM attune.{table} WHERE {condition}").fetchone()
    assert row is not None
    return int(row[0])


def more_than(conn: Conn, number: int) -> Callable[[], bool]:
    return lambda: count(conn) > number


OPEN = f"status NOT IN ({', '.join(repr(str(status)) for status in sorted(TERMINAL))})"


def test_it_simulates_and_tells_what_it_did(database: str, conn: Conn) -> None:
    done = simulate(database, "--rate", "200", "--duration", "2", "--seed", "5")

    assert (done.returncode, done.stderr) == (0, "")
    first, summary = done.stdout.splitlines()
    assert "200 changes/s with --seed 5" in first
    told = re.match(r"Simulated (\d+) executions, (\d+) changes in 2\.\d s: (.*)", summary)
    assert told is not None, summary
    # No worker runs here: the inbox holds every change.
    changes = count(conn, table="execution_inbox")
    assert (int(told[1]), int(told[2])) == (count(conn), changes)
    assert 100 < changes <= 2 * 200 + OPEN_LIMITS[1] + LARGEST_TREE
    ends = conn.execute("SELECT count(*), status FROM attune.execution GROUP BY 2 ORDER BY 2")
    assert told[3] == ", ".join(f"{n} {status}" for n, status in ends) + ", 0 left open"
    assert count(conn, OPEN) == 0


def test_it_gives_parents_their_children(database: str, conn: Conn) -> None:
    simulate(database, "--rate", "300", "--duration", "2", "--seed", "5")
    assert count(conn, "parent IS NOT NULL") > 10
    # The last ones were all abandoned together when the time was up.
    ended_early = conn.execute(
        "SELECT count(*) FROM attune.execution c JOIN attune.execution p ON p.id = c.parent"
        " WHERE p.finished < c.finished AND p.status <> 'abandoned'"
    ).fetchone()
    assert ended_early == (0,)


def test_it_makes_the_demo_actions_once_and_keeps_edits(database: str, conn: Conn) -> None:
    simulate(database, "--duration", "0.1")
    conn.execute("UPDATE attune.pack SET label = 'mine' WHERE ref = 'demo'")
    again = simulate(database, "--duration", "0.1")

    assert again.returncode == 0, again.stderr
    assert count(conn, "label = 'mine'", table="pack") == 1
    assert count(conn, table="pack") == len(PACKS)
    assert count(conn, table="action") == len(ACTIONS)
    assert count(conn, "action IS NULL") == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_asked(
    database: str, conn: Conn, tmp_path: Path, number: signal.Signals
) -> None:
    with simulating(database, tmp_path, "--rate", "50") as process:
        wait_for(more_than(conn, 10), "executions")
        process.child.send_signal(number)
        assert process.child.wait(10) == 0
        summary = process.output.splitlines()[-1]
    assert summary.startswith("Simulated ") and summary.endswith(", 0 left open")
    assert "Traceback" not in process.output
    assert count(conn, OPEN) == 0


def disconnect(conn: Conn) -> None:
    conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'attune simulate'"
    )


def test_it_survives_a_lost_connection(database: str, conn: Conn, tmp_path: Path) -> None:
    with simulating(database, tmp_path, "--rate", "100") as process:
        wait_for(more_than(conn, 10), "executions")
        disconnect(conn)
        wait_for(more_than(conn, count(conn) + 10), "executions after the connection was lost")
        process.child.send_signal(signal.SIGINT)
        assert process.child.wait(10) == 0
    first, lost, summary = process.output.splitlines()
    assert lost.startswith("Lost the database, trying again: ")
    assert summary.endswith(", 0 left open")


def test_it_stops_while_the_database_is_away(
    database: str, conn: Conn, tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    name = sql.Identifier(str(conn.info.dbname))
    with (
        psycopg.connect(postgres.url("postgres"), autocommit=True) as admin,
        simulating(database, tmp_path, "--rate", "100") as process,
    ):
        wait_for(more_than(conn, 10), "executions")
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        disconnect(conn)
        wait_for(lambda: "Lost the database" in process.output, "the loss to be noticed")
        process.child.send_signal(signal.SIGTERM)
        assert process.child.wait(10) == 0
    told = re.search(r"(\d+) left open$", process.output.strip())
    assert told is not None, process.output
    assert 0 < count(conn, OPEN) <= int(told[1])


def test_it_obeys_other_writers(database: str, conn: Conn, tmp_path: Path) -> None:
    with simulating(database, tmp_path, "--rate", "1000") as process:
        wait_for(more_than(conn, 10), "executions")
        conn.execute(f"UPDATE attune.execution SET status = 'canceling' WHERE {OPEN}")
        last = conn.execute("SELECT max(id) FROM attune.execution").fetchone()
        assert last is not None
        wait_for(
            lambda: count(conn, f"{OPEN} AND id <= {last[0]}") == 0,
            "the cancelled ones to end",
        )
        assert count(conn, "status = 'cancelled'") > 0
        conn.execute("DELETE FROM attune.execution")
        conn.execute("DELETE FROM attune.pack")
        wait_for(more_than(conn, 10), "new executions")
        process.child.send_signal(signal.SIGINT)
        assert process.child.wait(10) == 0
    assert len(process.output.splitlines()) == 2, process.output


def test_it_says_in_one_line_that_there_is_no_database(tmp_path: Path) -> None:
    done = simulate(f"postgresql://postgres@/attune?host={tmp_path}")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("CommandError: cannot reach the database: ")
    assert len(done.stderr.splitlines()) == 1


def test_it_says_in_one_line_that_the_database_is_not_migrated(database: str, conn: Conn) -> None:
    conn.execute("DROP SCHEMA attune CASCADE")
    done = simulate(database)
    assert done.returncode == 1
    assert re.fullmatch(r"CommandError: .*attune\.pack.* is it migrated\?\n", done.stderr)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--rate", "0"),
        ("--rate", "-1"),
        ("--rate", "nan"),
        ("--rate", "inf"),
        ("--rate", "1000.1"),
        ("--rate", "fast"),
        ("--duration", "0"),
        ("--duration", "nan"),
        ("--duration", "inf"),
        ("--duration", "long"),
        ("--seed", "1.5"),
    ],
)
def test_it_refuses_a_bad_value_by_name(option: str, value: str) -> None:
    with pytest.raises(CommandError, match=option):
        call_command("simulate", f"{option}={value}")
