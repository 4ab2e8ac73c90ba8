from __future__ import annotations

import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command

from executions import eventlog, pruning
from executions.management.commands.pruneevents import Command, kept
from executions.pruning import Keep, Pruned
from tests.rows import Connection, add_execution, one, sequence
from tests.servers import PROJECT, product_env, wait_for

COMMAND = [sys.executable, "manage.py", "pruneevents"]
BODY = "x" * 100


def fill(conn: Connection, count: int, *, minutes_apart: int = 1) -> None:
    """Make a log of `count` events of 100 bytes; the newest is `minutes_apart` old."""
    conn.execute(
        "INSERT INTO attune.execution_event"
        " (seq, execution, version, op, status, action_ref, event, bytes, recorded)"
        " SELECT n, 1, n, 'UPDATE', 'running', 'tests.run', %s, %s,"
        "   now() - (%s + 1 - n) * %s"
        " FROM generate_series(1, %s) n",
        [BODY, len(BODY), count, timedelta(minutes=minutes_apart), count],
    )
    conn.execute("UPDATE attune.stream_state SET last_seq = %s", [count])


def seqs(conn: Connection) -> list[int]:
    rows = conn.execute("SELECT seq FROM attune.execution_event ORDER BY seq").fetchall()
    return [row[0] for row in rows]


def state(conn: Connection) -> tuple[int, int]:
    """Return the floor and the last number."""
    row = conn.execute("SELECT floor_seq, last_seq FROM attune.stream_state").fetchone()
    assert row is not None
    return row[0], row[1]


def prune(database: str, keep: Keep, *, batch: int = 3, dry_run: bool = False) -> Pruned:
    with psycopg.connect(database, autocommit=True) as conn:
        # The server lets go of the claim of a closed connection a moment later.
        wait_for(lambda: pruning.claim(conn), "the claim")
        return pruning.prune(conn, keep, batch=batch, dry_run=dry_run)


def run(database: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options],
        env=product_env(database),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_it_prunes_and_says_so_in_one_line(database: str, conn: Connection) -> None:
    fill(conn, 10)
    done = run(database, "--max-events", "4", "--batch", "4")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"Pruned 6 events, 600 bytes in \d+\.\d s; the log begins after 6\.\n", done.stdout
    )
    assert (seqs(conn), state(conn)) == ([7, 8, 9, 10], (6, 10))
    again = run(database, "--max-events", "4")
    assert again.stdout.startswith("Pruned 0 events, 0 bytes in ")


@pytest.mark.parametrize(
    ("keep", "floor"),
    [
        (Keep(events=10), 0),
        (Keep(events=4), 6),
        (Keep(events=0), 10),
        (Keep(bytes=1000), 0),
        (Keep(bytes=999), 1),
        (Keep(bytes=350), 7),
        (Keep(bytes=0), 10),
        (Keep(age=timedelta(minutes=11)), 0),
        (Keep(age=timedelta(minutes=4, seconds=30)), 6),
        (Keep(age=timedelta(seconds=1)), 10),
        (Keep(age=timedelta(minutes=4, seconds=30), events=2, bytes=650), 8),
        (Keep(age=timedelta(minutes=4, seconds=30), events=9, bytes=250), 8),
        (Keep(age=timedelta(minutes=1, seconds=30), events=9, bytes=650), 9),
    ],
)
def test_it_drops_what_is_beyond_any_limit(
    database: str, conn: Connection, keep: Keep, floor: int
) -> None:
    fill(conn, 10)
    expected = Pruned(floor, floor * 100, floor)
    for batch in (1, 3, 100):
        assert prune(database, keep, batch=batch, dry_run=True) == expected
    assert (len(seqs(conn)), state(conn)) == (10, (0, 10))
    assert prune(database, keep, batch=3) == expected
    assert (seqs(conn), state(conn)) == (list(range(floor + 1, 11)), (floor, 10))


def test_it_never_drops_a_younger_event_among_older_ones(database: str, conn: Connection) -> None:
    fill(conn, 10, minutes_apart=60)
    conn.execute("UPDATE attune.execution_event SET recorded = now() WHERE seq = 5")
    assert prune(database, Keep(age=timedelta(minutes=90))).floor_seq == 4
    assert seqs(conn) == [5, 6, 7, 8, 9, 10]


def test_it_leaves_the_numbers_dense(database: str, conn: Connection) -> None:
    fill(conn, 10)
    prune(database, Keep(events=0))
    add_execution(conn)
    epoch = one(conn, "SELECT epoch FROM attune.stream_state")
    assert sequence(conn) == (epoch, 11, 11)
    assert (seqs(conn), state(conn)) == ([11], (10, 11))


def test_it_prunes_an_empty_log(database: str, conn: Connection) -> None:
    assert prune(database, Keep(age=timedelta(1), events=0, bytes=0)) == Pruned(0, 0, 0)


@pytest.mark.parametrize("died_after", [0, 2])
def test_it_finishes_what_a_run_before_left(
    database: str, conn: Connection, died_after: int
) -> None:
    fill(conn, 10)
    conn.execute("UPDATE attune.stream_state SET floor_seq = 5")
    conn.execute("DELETE FROM attune.execution_event WHERE seq <= %s", [died_after])
    left = 5 - died_after
    assert prune(database, Keep(events=1000)) == Pruned(left, left * 100, 5)
    assert (seqs(conn), state(conn)) == ([6, 7, 8, 9, 10], (5, 10))


def test_it_raises_the_floor_first_and_holds_nobody_up(database: str, conn: Connection) -> None:
    fill(conn, 10)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database) as other:
        other.execute("SELECT FROM attune.execution_event WHERE seq = 5 FOR UPDATE")
        pruned = pool.submit(prune, database, Keep(events=2))
        wait_for(lambda: len(seqs(conn)) == 7, "the first batch to be deleted")
        assert state(conn) == (8, 10)
        add_execution(conn)
        assert sequence(conn) is not None
        other.rollback()
        assert pruned.result() == Pruned(8, 800, 8)
    assert (seqs(conn), state(conn)) == ([9, 10, 11], (8, 11))


def test_it_gives_up_in_time_where_the_log_is_locked(database: str, conn: Connection) -> None:
    fill(conn, 10)
    with psycopg.connect(database) as other:
        other.execute("SELECT FROM attune.stream_state FOR UPDATE")
        done = run(database, "--max-events", "4")
    assert done.returncode == 1
    assert done.stderr.startswith("CommandError: somebody holds a lock on the log: ")
    assert (len(seqs(conn)), state(conn)) == (10, (0, 10))


def test_it_leaves_the_work_to_another_run(database: str, conn: Connection) -> None:
    fill(conn, 10)
    with psycopg.connect(database, autocommit=True) as other:
        assert pruning.claim(other)
        done = run(database, "--max-events", "4")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "Another pruneevents is at work; did nothing.\n"
        assert (len(seqs(conn)), state(conn)) == (10, (0, 10))
    assert run(database, "--max-events", "4").stdout.startswith("Pruned 6 events")


def test_it_never_scans_the_table(database: str, conn: Connection) -> None:
    fill(conn, 1000)
    conn.execute("ANALYZE attune.execution_event")  # a scan is the cheapest plan now
    scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'execution_event'"
    before = one(conn, scans)
    keep = Keep(age=timedelta(minutes=900, seconds=30), events=950, bytes=90_000)
    assert prune(database, keep, batch=1000).events == 100
    assert prune(database, Keep(events=0), batch=1000).events == 900
    wait_for(lambda: one(conn, scans.replace("seq_scan", "n_tup_del")) == 1000, "the statistics")
    assert one(conn, scans) == before


async def test_it_shows_a_reader_every_event_or_the_floor_above_it(
    database: str, conn: Connection
) -> None:
    fill(conn, 3000)
    whole = cut = 0
    enough = threading.Event()

    def prune_bit_by_bit() -> None:
        with psycopg.connect(database, autocommit=True) as mine:
            assert pruning.claim(mine)
            for kept_events in range(2999, 20, -5):
                while cut > whole and not enough.wait(0.001):
                    pass  # the reader is due a page that nobody cuts
                if enough.is_set():
                    return
                pruning.prune(mine, Keep(events=kept_events), batch=2)

    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as reader:
        with ThreadPoolExecutor(1) as pool:
            pruned = pool.submit(prune_bit_by_bit)
            try:
                while min(whole, cut) <= 10 and not pruned.done():
                    after = (await eventlog.state(reader)).floor_seq
                    page = await eventlog.read(
                        reader, after=after, upto=3000, limit=9, max_bytes=9999
                    )
                    if (await eventlog.state(reader)).floor_seq > after:
                        cut += 1
                    else:
                        assert [e.seq for e in page.events] == list(range(after + 1, after + 10))
                        whole += 1
            finally:
                enough.set()
            pruned.result()
    assert min(whole, cut) > 10


def test_it_runs_twice_at_once(database: str, conn: Connection) -> None:
    fill(conn, 5000)
    options = ("--max-events", "1000", "--batch", "10")
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(run, database, *options) for _ in range(2)]
        results = [future.result() for future in both]
    assert [done.returncode for done in results] == [0, 0]
    assert any(done.stdout.startswith("Pruned 4000 events, ") for done in results)
    assert (len(seqs(conn)), state(conn)) == (1000, (4000, 5000))


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        ("--older-than=30s", Keep(age=timedelta(seconds=30))),
        ("--older-than=90m", Keep(age=timedelta(minutes=90))),
        ("--older-than=36h", Keep(age=timedelta(hours=36))),
        ("--older-than=7d", Keep(age=timedelta(days=7))),
        ("--older-than=2w", Keep(age=timedelta(weeks=2))),
        ("--max-events=0", Keep(events=0)),
        ("--max-bytes=5", Keep(bytes=5)),
        ("--max-bytes=1K", Keep(bytes=1024)),
        ("--max-bytes=500m", Keep(bytes=500 * 1024**2)),
        ("--max-bytes=20G", Keep(bytes=20 * 1024**3)),
    ],
)
def test_it_reads_ages_and_sizes(text: str, keep: Keep) -> None:
    parser = Command().create_parser("manage.py", "pruneevents")
    assert kept(vars(parser.parse_args([text]))) == keep


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--older-than", "7"),
        ("--older-than", "7 d"),
        ("--older-than", "-7d"),
        ("--older-than", "0d"),
        ("--older-than", "1.5h"),
        ("--older-than", "7y"),
        ("--older-than", "36501d"),
        ("--older-than", "9999999999w"),
        ("--older-than", ""),
        ("--max-events", "-1"),
        ("--max-events", "many"),
        ("--max-events", "1e6"),
        ("--max-bytes", "-1"),
        ("--max-bytes", "5T"),
        ("--max-bytes", "G"),
        ("--batch", "0"),
        ("--batch", "100001"),
        ("--batch", "all"),
    ],
)
def test_it_refuses_a_bad_value_by_name(option: str, value: str) -> None:
    with pytest.raises(CommandError, match=f"^{option}: "):
        call_command("pruneevents", "--max-events=5", f"{option}={value}")


def test_it_wants_a_limit() -> None:
    with pytest.raises(CommandError, match="--older-than, --max-events or --max-bytes"):
        call_command("pruneevents")


def test_it_says_in_one_line_what_is_wrong_with_the_database(
    database: str, conn: Connection, tmp_path: Path
) -> None:
    away = run(f"postgresql://postgres@/attune?host={tmp_path}", "--max-events=1")
    assert (away.returncode, away.stdout) == (1, "")
    assert re.fullmatch(r"CommandError: cannot reach the database: .*\n", away.stderr)
    conn.execute("DROP SCHEMA attune CASCADE")
    bare = run(database, "--max-events=1")
    assert bare.returncode == 1
    assert re.fullmatch(r"CommandError: .*attune\.stream_state.* is it migrated\?\n", bare.stderr)
