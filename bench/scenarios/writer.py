"""What a writer pays: the table with its triggers against the same table without any.

pgbench from PostgreSQL's own wheel writes, so that the writer is not what is measured. Both
tables live in one database, and the runs alternate. A worker empties the inbox meanwhile, as
in production; there is no web process, which is not the writer's cost.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from attune.local.postgres import embedded_program
from bench import machine
from bench.outcome import Outcome, Table
from bench.plan import Bench
from bench.stack import bench_stack
from tests.servers import PROJECT, Stack, wait_for

ROWS = 100_000
WRITERS = (1, 16)
TABLES = {"without": "bench.execution", "with": "attune.execution"}
DRAIN_SECONDS = 120.0
NOTES = [
    "commits/s of `UPDATE … SET status … WHERE id = …` on 100,000 rows, pgbench, prepared"
    " statements, every commit on disk. The table without triggers is `LIKE attune.execution"
    " INCLUDING ALL` with the same foreign keys, in the same database.",
    "Runs with and without take turns; the ratio is the median of those of neighbours, the rates"
    " are medians of their own.",
    "All processes share all cores. The rows “no worker” show the triggers and NOTIFY alone.",
]
_PREPARE = """
    INSERT INTO attune.execution (action_ref, status)
    SELECT 'bench.writer', 'running' FROM generate_series(1, {rows});
    CREATE SCHEMA bench;
    CREATE TABLE bench.execution (LIKE attune.execution INCLUDING ALL) WITH (fillfactor = 85);
    INSERT INTO bench.execution OVERRIDING SYSTEM VALUE SELECT * FROM attune.execution;
    -- LIKE leaves these out. They are the table's own, and cost an UPDATE of other columns, too.
    DO $$
    DECLARE
        foreign_key record;
    BEGIN
        FOR foreign_key IN
            SELECT conname AS name, pg_get_constraintdef(oid) AS text FROM pg_constraint
            WHERE conrelid = 'attune.execution'::regclass AND contype = 'f'
        LOOP
            EXECUTE format('ALTER TABLE bench.execution ADD CONSTRAINT %I %s', foreign_key.name,
                replace(foreign_key.text, 'attune.execution', 'bench.execution'));
        END LOOP;
    END $$;
"""
_OTHER_STATUS = "CASE status WHEN 'running' THEN 'scheduled' ELSE 'running' END"
_SCRIPT = (
    """\\set id random(:first, :last)
UPDATE {table} SET status = """
    + _OTHER_STATUS
    + """ WHERE id = :id;
"""
)


@dataclass(frozen=True, slots=True)
class Rates:
    """Commits a second of each run, by table; the bulk in seconds."""

    by_table: dict[str, list[float]]

    @property
    def ratio(self) -> float:
        """The median of each run's, with the run before it that had no triggers."""
        pairs = zip(self.by_table["with"], self.by_table["without"], strict=True)
        return statistics.median(one / other for one, other in pairs)

    def middle(self, table: str) -> float:
        return statistics.median(self.by_table[table])


def run(bench: Bench) -> Outcome:
    """Measure with NOTIFY always and, where the product knows it, adaptive."""
    outcome = _measure(bench, "always", {})
    if "ATTUNE_NOTIFY" in (PROJECT / "docs" / "settings.md").read_text(encoding="utf-8"):
        outcome.add(_measure(bench, "adaptive", {"ATTUNE_NOTIFY": "adaptive"}))
    else:
        outcome.notes = [*NOTES, "ATTUNE_NOTIFY=adaptive does not exist yet: not measured."]
    return outcome


def _measure(bench: Bench, notify: str, env: dict[str, str]) -> Outcome:
    suffix = "" if notify == "always" else f"@{notify}"
    outcome = Outcome(
        "The writer's cost",
        Table(("NOTIFY", "what", "without triggers", "with", "ratio")),
        notes=NOTES,
    )
    with _database(env) as stack:
        rates = {writers: _alternate(bench, stack, writers) for writers in WRITERS}
        has_time = bench.plan.runs > 1  # the quick run has not
        bulk = _bulk(bench, stack) if has_time or notify == "always" else None
        stack.processes.pop("worker").stop()
        alone = {
            writers: _alternate(bench, stack, writers, pairs=2)
            for writers in (WRITERS if has_time and notify == "always" else ())
        }
    for what, found in (("", rates), (", no worker", alone)):
        outcome.table.rows += [
            _row(notify, f"{n} writer{'s'[: n > 1]}{what}", one, "{:,.0f}/s")
            for n, one in found.items()
        ]
    outcome.figures = {
        f"writer.one{suffix}": rates[1].ratio,
        f"writer.sixteen{suffix}": rates[16].ratio,
    }
    if bulk is not None:
        outcome.table.rows.append(_row(notify, f"UPDATE of {ROWS:,} rows", bulk, "{:.2f} s"))
        outcome.figures[f"writer.bulk{suffix}"] = bulk.ratio
    return outcome


@contextmanager
def _database(env: dict[str, str]) -> Iterator[Stack]:
    with machine.all_cores(), bench_stack(server="uvicorn", env=env) as stack:
        stack.processes.pop("web").stop()
        with stack.sql() as conn:
            conn.execute(_PREPARE.format(rows=ROWS))
            conn.execute("VACUUM ANALYZE attune.execution, bench.execution")
        _wait_sequenced(stack)
        yield stack


def _alternate(bench: Bench, stack: Stack, writers: int, *, pairs: int = 0) -> Rates:
    if not pairs:  # sixteen differ less from run to run than one
        pairs = (4 if writers == 1 else 2) * bench.plan.runs if bench.plan.runs > 1 else 2
    rates: dict[str, list[float]] = {name: [] for name in TABLES}
    seconds = max(1, round(bench.plan.seconds / 3))
    for _ in range(pairs):
        for name, table in TABLES.items():
            rates[name].append(_pgbench(stack, table, writers, seconds))
            if "worker" in stack.processes:
                _wait_sequenced(stack)
    found = Rates(rates)
    bench.say(f"writer ×{writers}: {rates} -> {found.ratio:.2f}")
    return found


def _pgbench(stack: Stack, table: str, writers: int, seconds: int) -> float:
    """Return commits a second."""
    with stack.sql() as conn:
        ids = conn.execute(f"SELECT min(id), max(id) FROM {table}").fetchone() or (0, 0)
    script = Path(stack.folder) / "writer.sql"
    script.write_text(_SCRIPT.format(table=table))
    command = [str(embedded_program("pgbench")), "--no-vacuum", "--protocol=prepared"]
    command += [f"--client={writers}", f"--time={seconds}", f"--file={script}"]
    command += [f"--define=first={ids[0]}", f"--define=last={ids[1]}", stack.database_url]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return commits_per_second(answer.stdout)


def commits_per_second(output: str) -> float:
    """Return what pgbench says at its end. Pure."""
    found = re.search(r"^tps = ([\d.]+)", output, re.MULTILINE)
    assert found is not None, output
    return float(found[1])


def _bulk(bench: Bench, stack: Stack) -> Rates:
    """Return the seconds of one UPDATE of all rows, its commit included."""
    seconds: dict[str, list[float]] = {name: [] for name in TABLES}
    with stack.sql() as conn:
        for _ in range(max(2, bench.plan.runs)):
            for name, table in TABLES.items():
                began = time.monotonic()
                conn.execute(f"UPDATE {table} SET status = {_OTHER_STATUS}")
                seconds[name].append(time.monotonic() - began)
                _wait_sequenced(stack)
                conn.execute(f"VACUUM {table}")
    for values in seconds.values():
        del values[0]  # the first one makes the room that the others use again
    bench.say(f"writer bulk: {seconds}")
    return Rates(seconds)


def _wait_sequenced(stack: Stack) -> None:
    with stack.sql() as conn:

        def empty() -> bool:
            row = conn.execute("SELECT NOT EXISTS (SELECT FROM attune.execution_inbox)").fetchone()
            return bool(row and row[0])

        wait_for(empty, "the worker to be through", seconds=DRAIN_SECONDS)


def _row(notify: str, what: str, rates: Rates, form: str) -> tuple[str, ...]:
    middle = (form.format(rates.middle(table)) for table in TABLES)
    return (notify, what, *middle, f"{rates.ratio:.2f} ×")
