"""5,000 clients come back at once, each 1,000 events behind, while others go on.

Queries of the log are counted from PostgreSQL's own statement log: those of the connections
named `attune hub` that read `execution_event`.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import pacing
from bench.loadclient import LoadClient
from bench.measure import LOOK_SECONDS
from bench.ours import Attune
from bench.outcome import Outcome, Table
from bench.plan import Bench

HEALTHY = 100
RATE = 20.0  # changes/s meanwhile
BEHIND = 1000  # events
AT_ONCE = 1000  # requests that a returning crowd has open before one is answered
GIVE_UP_SECONDS = 90.0
RELOAD_SECONDS = 0.5  # until every connection has seen a changed setting
_PREFIX = "@%a@ "
NOTES = [
    f"No filter: each client gets its {BEHIND:,} events, and is live once it is at the position"
    " that the log had when the storm began. The clock starts with the first connection.",
    "The process goes on: the events are in its memory. It is new: they are only in the log. The"
    " targets take the worse of the two.",
    f"{HEALTHY} healthy clients and {RATE:g} changes/s go on meanwhile.",
    "Queries: statements of the hub's connections that read the log, counted from PostgreSQL's"
    " statement log (the wheel has no pg_stat_statements).",
]


@dataclass(frozen=True, slots=True)
class Storm:
    """`seconds` until all were live again, infinite where they were not."""

    seconds: float
    live: int
    resets: int
    missing: int
    queries: int
    healthy_p99_ms: float
    healthy_missing: int


def run(bench: Bench, attune: Attune) -> Outcome:
    storms = {
        "the process goes on": _measure(bench, attune, restart=False),
        "the process is new": _measure(bench, attune, restart=True),
    }
    count, found = bench.plan.many, list(storms.values())
    figures = {
        "storm.seconds": max(storm.seconds for storm in found),
        "storm.queries": float(max(storm.queries for storm in found)),
        "storm.resets": float(sum(storm.resets for storm in found)),
        "storm.healthy_p99_ms": max(storm.healthy_p99_ms for storm in found),
        "storm.missing": float(sum(storm.missing + storm.healthy_missing for storm in found)),
    }
    columns = ("server", "", "all live again", "log queries", "resets", "missing", "healthy p99 ms")
    rows: list[tuple[str, ...]] = [
        (
            attune.name,
            what,
            f"{storm.seconds:.1f} s" if storm.live == count else f"{storm.live:,} of {count:,}",
            f"{storm.queries}",
            f"{storm.resets}",
            f"{storm.missing + storm.healthy_missing}",
            f"{storm.healthy_p99_ms:.0f}",
        )
        for what, storm in storms.items()
    ]
    title = f"Reconnect storm: {count:,} clients return {BEHIND:,} events behind"
    return Outcome(title, Table(columns, rows), figures, NOTES)


def _measure(bench: Bench, attune: Attune, *, restart: bool) -> Storm:
    """`restart`: the web process is one that has none of those events in memory."""
    if restart:
        _fall_behind(attune)
    attune.restart_web()
    with LoadClient(attune.port) as healthy, LoadClient(attune.port) as crowd:
        healthy.open([attune.request()] * HEALTHY)
        if not restart:
            _fall_behind(attune)
        healthy.report()
        return _storm(bench, attune, healthy, crowd, bench.plan.many)


def _fall_behind(attune: Attune) -> None:
    attune.publish(time.monotonic_ns(), BEHIND)
    attune.wait_sequenced()
    time.sleep(2.0)  # until those who are connected have had that


def _storm(
    bench: Bench, attune: Attune, healthy: LoadClient, crowd: LoadClient, count: int
) -> Storm:
    epoch, last = attune.position()
    requests = [attune.request(cursor=f"{epoch}-{last - BEHIND}")] * count
    stop = threading.Event()
    crowd.goal(last)
    with _statements(attune) as hub_statements, ThreadPoolExecutor(1) as pool:
        writing = pool.submit(
            pacing.run, attune.publish, rate=RATE, seconds=GIVE_UP_SECONDS, stop=stop
        )
        began = time.monotonic()
        opening = crowd.try_open(requests, at_once=AT_ONCE, seconds=GIVE_UP_SECONDS)
        window = crowd.report()
        controls, missing = window.controls, window.missing
        while window.at_goal < count and time.monotonic() < began + GIVE_UP_SECONDS:
            time.sleep(LOOK_SECONDS)
            window = crowd.report()
            controls, missing = controls + window.controls, missing + window.missing
        stop.set()
        writing.result()
        queries = sum("execution_event" in statement for statement in hub_statements())
    calm = healthy.report()
    seconds = window.goal_seconds if window.at_goal == count else float("inf")
    bench.say(f"storm {attune.name}: {opening}; live {seconds:.1f} s, {queries} queries")
    return Storm(
        seconds,
        window.at_goal,
        controls.split().count("reset"),
        missing,
        queries,
        calm.latency.percentile_ms(0.99),
        calm.missing + calm.twice,
    )


@contextmanager
def _statements(attune: Attune) -> Iterator[Callable[[], list[str]]]:
    """Let PostgreSQL write down every statement; what is yielded returns the hub's so far."""
    with attune.stack.sql() as conn:
        (folder,) = conn.execute("SHOW data_directory").fetchone() or ("",)
        path = Path(folder) / "log"
        conn.execute(f"ALTER SYSTEM SET log_line_prefix = '{_PREFIX}'")
        conn.execute("ALTER SYSTEM SET log_statement = 'all'")
        conn.execute("SELECT pg_reload_conf()")
        time.sleep(RELOAD_SECONDS)
        start = path.stat().st_size
        try:
            yield lambda: hub_statements(path.read_bytes()[start:].decode(errors="replace"))
        finally:
            conn.execute("ALTER SYSTEM RESET log_statement")
            conn.execute("ALTER SYSTEM RESET log_line_prefix")
            conn.execute("SELECT pg_reload_conf()")


def hub_statements(log: str) -> list[str]:
    """Return the statements of connections named `attune hub`, each with all its lines. Pure."""
    entries = re.split(r"^@", log, flags=re.MULTILINE)
    return [
        entry.partition("@ ")[2]
        for entry in entries
        if entry.startswith("attune hub@ LOG:") and re.match(r".*?(execute|statement)", entry)
    ]
