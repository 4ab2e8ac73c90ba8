"""`python -m bench.upgrade`: migrations of a table with many rows, beside writers.

Ends with status 1 where an event was lost, or where a writer waited for too long.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import sys
import tempfile
from pathlib import Path

from attune.local.postgres import EmbeddedPostgres
from bench import machine
from bench.outcome import Table
from bench.report import between_marks, markdown_table
from bench.upgrade.check import Result, run
from tests.servers import PROJECT

DATABASE = "upgrade"
DOCUMENT = PROJECT / "docs" / "upgrades.md"
LIMIT_SECONDS = 0.1


def main() -> int:
    options = _options()
    load = machine.load()
    with tempfile.TemporaryDirectory(prefix="attune-upgrade-", dir=options.folder) as name:
        postgres = EmbeddedPostgres(Path(name) / "postgres")
        try:
            postgres.start()
            postgres.create_database(DATABASE)
            result = run(
                postgres.url(DATABASE),
                rows=options.rows,
                rate=options.rate,
                seed=options.seed,
                calm_seconds=options.calm,
            )
        finally:
            postgres.stop()
        facts = machine.describe(Path(name), load_before=load)
    return _write(options, result, {n: facts[n] for n in ("processor", "cores", "kernel")})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.upgrade", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rate", type=float, default=100.0, help="UPDATEs a second")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--calm", type=float, default=30.0, help="seconds without a migration")
    parser.add_argument("--folder", type=Path, help="where the database goes while it is needed")
    parser.add_argument("--json", type=Path, default=PROJECT / "var" / "bench" / "upgrade.json")
    parser.add_argument("--docs", action="store_true", help=f"write docs/{DOCUMENT.name}")
    return parser.parse_args()


def _write(options: argparse.Namespace, result: Result, facts: dict[str, str]) -> int:
    page = _page(result, facts)
    print(page)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    document = vars(result) | {
        "steps": [dataclasses.asdict(step) for step in result.steps],
        "findings": vars(result.findings),
    }
    options.json.write_text(json.dumps(document, indent=1), encoding="utf-8")
    if options.docs:
        text = between_marks(DOCUMENT.read_text(encoding="utf-8"), page)
        DOCUMENT.write_text(text, encoding="utf-8")
    blocked = [s.name for s in result.steps if s.longest_lock_wait > LIMIT_SECONDS]
    for trouble in (*result.errors, *result.findings.examples, *blocked):
        print(f"- {trouble}")
    return 1 if result.errors or blocked or not result.findings.clean else 0


def _page(result: Result, facts: dict[str, str]) -> str:
    table = Table(("migration", "took", "UPDATEs", "median", "longest", "for a lock on a table"))
    table.rows = [
        (
            step.name,
            f"{step.seconds:.1f} s",
            f"{step.updates:,}",
            f"{step.median * 1000:.1f} ms",
            f"{step.longest * 1000:.0f} ms",
            f"{step.longest_lock_wait * 1000:.0f} ms",
        )
        for step in result.steps
    ]
    wrong = sum(result.findings.counts.values())
    how = (
        f"{result.rows:,} executions, {result.rate:g} UPDATEs a second. {result.events:,} events"
        f" in the log in the end; lost, repeated or in the wrong order: {wrong}."
        f" Calls of the old worker that failed and were made again: {len(result.worker_errors)}."
    )
    machine_ = "Machine: " + "; ".join(f"{name} {value}" for name, value in facts.items()) + "."
    return f"{how} {machine_}\n\n{markdown_table(table)}\n"


if __name__ == "__main__":
    sys.exit(main())
