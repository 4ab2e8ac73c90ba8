"""Migrate step by step, there and back, with rows in the table and traffic on it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg

from bench.faults.checker import Findings, check
from bench.faults.facts import Entry, Maybe, Truth
from bench.faults.system import LOG, environment
from bench.upgrade.steps import migrations, sequencer
from bench.upgrade.traffic import Traffic
from tests.servers import PROJECT, wait_for

CALM = "no migration"
_FILL = """
INSERT INTO attune.execution (action_ref, status, parent, config, result, created, started,
    finished)
SELECT 'pack' || i %% 20 || '.action' || i %% 200, 'completed',
    CASE WHEN i %% 10 <> 1 THEN i - (i - 1) %% 10 END,
    '{"n": 1}', '{"ok": true, "output": "something was done here, and it took a while"}',
    now() - i * interval '1 s', now() - i * interval '1 s', now() - i * interval '1 s'
FROM generate_series(%s::bigint, %s::bigint) i
"""
_FILL_ROWS = 1_000_000  # of one statement


@dataclass(frozen=True, slots=True)
class Step:
    """One `migrate`, with what writers saw of it. Times in seconds."""

    name: str
    seconds: float
    updates: int
    median: float
    longest: float
    longest_lock_wait: float


@dataclass
class Result:
    rows: int
    rate: float
    steps: list[Step] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    events: int = 0
    errors: list[str] = field(default_factory=list)
    worker_errors: list[str] = field(default_factory=list)


def run(
    database_url: str,
    *,
    rows: int,
    rate: float,
    seed: int,
    calm_seconds: float,
    way: Sequence[str] | None = None,
) -> Result:
    """Migrate an empty database to the first stop, fill it, and go on from stop to stop.

    Without a `way`, these are all migrations, then back to the first with a log, then the
    newest again, one by one.
    """
    way, result = way or there_and_back(migrations()), Result(rows, rate)
    migrate(database_url, way[0])
    logged_from = None if sequencer(way[0]) is None else time.monotonic()
    _fill(database_url, rows)
    traffic = Traffic(database_url, rows, rate, seed)
    with traffic.running():
        _measure(CALM, result, traffic, lambda: time.sleep(calm_seconds))
        for before, after in zip(way, way[1:], strict=False):
            # The worker is the old one: it is the last to be upgraded, and the first to go back.
            traffic.sequencer = sequencer(min(before, after))
            migration = f"{before} → {after}"
            _measure(migration, result, traffic, partial(migrate, database_url, after))
            if logged_from is None and sequencer(after) is not None:
                logged_from = time.monotonic()
        traffic.sequencer = sequencer(way[-1])
    result.errors, result.worker_errors = traffic.errors, traffic.worker_errors
    _hold_against_log(database_url, result, traffic, since=logged_from or 0.0)
    return result


def migrate(database_url: str, to: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "executions", to, "--verbosity", "0"],
        # Settings want a Redis; migrating never asks for it.
        env=environment(database_url, REDIS_URL="redis://127.0.0.1"),
        cwd=PROJECT,
        check=True,
    )


def there_and_back(names: Sequence[str]) -> list[str]:
    """Return all, back to the first with a log, and forth again. Pure."""
    logged = [name for name in names if sequencer(name) is not None]
    return [*names, *reversed(logged[:-1]), *logged[1:]]


def _fill(database_url: str, rows: int) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("SET session_replication_role = replica")  # no events: this is history
        for first in range(1, rows + 1, _FILL_ROWS):
            conn.execute(_FILL, [first, min(rows, first + _FILL_ROWS - 1)])
        conn.execute("VACUUM ANALYZE attune.execution")


def _measure(name: str, result: Result, traffic: Traffic, act: Callable[[], Any]) -> None:
    began = time.monotonic()
    act()
    ended = time.monotonic()
    # An UPDATE that waits just now is not in the books yet.
    wait_for(
        lambda: bool(traffic.errors) or (traffic.waits and traffic.waits[-1][0] > ended),
        f"writers to go on after {name}",
        seconds=120,
    )
    waits = sorted(wait for due, wait in list(traffic.waits) if began <= due + wait and due < ended)
    locked = (wait for at, wait in list(traffic.lock_waits) if began <= at < ended + wait)
    middle = waits[len(waits) // 2]
    step = Step(name, ended - began, len(waits), middle, waits[-1], max(locked, default=0.0))
    result.steps.append(step)


def _hold_against_log(database_url: str, result: Result, traffic: Traffic, *, since: float) -> None:
    """Every change since there is a log is in it, once, in order; and nothing else is."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        while conn.execute("SELECT 1 FROM attune.execution_inbox LIMIT 1").fetchone():
            conn.execute(f"SELECT * FROM attune.{traffic.sequencer}(1000)")
        row = conn.execute("SELECT epoch FROM attune.stream_state").fetchone()
        assert row is not None
        log = [Entry(*entry) for entry in conn.execute(LOG, [0]).fetchall()]
    changes = [change for change in traffic.changes if change.began > since]
    # What was written while 0003 was on its way is in the log, or not.
    maybe = Maybe(frozenset(traffic.marks))
    result.events = len(log)
    result.findings = check(Truth(changes, maybe, log, str(row[0])), [])
