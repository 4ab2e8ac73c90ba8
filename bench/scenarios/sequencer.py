"""The worker alone: how fast it drains a backlog, what it keeps up with, and its memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import LiteralString

import psycopg

from bench import machine, pacing
from bench.outcome import Outcome, Table
from bench.plan import Bench
from bench.stack import bench_stack
from tests.servers import Stack, wait_for

ROWS = 100_000
BEGIN_SHARE = 0.1  # of the backlog, by which the worker has all it needs
ADAPTIVE = {"ATTUNE_NOTIFY": "adaptive"}  # as settings.md advises where so much is written
BY_UPDATE, INTO_INBOX = "by UPDATE", "into the inbox"
RATES = {BY_UPDATE: (30_000,), INTO_INBOX: (20_000, 30_000)}  # events/s
WAYS = {
    BY_UPDATE: "UPDATE attune.execution SET enforcement = %s WHERE id BETWEEN %s AND %s",
    INTO_INBOX: "INSERT INTO attune.execution_inbox (execution, version, op, status,"
    " old_status, action_ref, created, updated, started, enforcement) SELECT id, version, 'UPDATE',"
    " status, status, action_ref, created, updated, started, %s FROM attune.execution"
    " WHERE id BETWEEN %s AND %s ORDER BY id",
}
GIVE_UP_SECONDS = 180.0
LOOK_SECONDS = 0.1
NOTES = [
    "One worker on all cores together with PostgreSQL and Redis, to which it publishes as always;"
    " no web process. `ATTUNE_NOTIFY=adaptive`. The backlog is drained from the start of the"
    " worker's process on.",
    "Sustained: open loop, the changes due in 10 ms are one transaction; events by the time from"
    " the first change to the moment that the last was in the log. “By UPDATE”: what one writer"
    " achieves, which is then what limits it: its share of a core stands beside it. “Into the"
    " inbox”: rows such as the trigger writes, put there directly, so that the cores that there are"
    " go to the sequencer.",
    "Memory: the largest proportional set size less that after a tenth of the backlog.",
]


@dataclass(frozen=True, slots=True)
class Drained:
    events: int
    seconds: float
    growth_mib: float


def run(bench: Bench) -> Outcome:
    with machine.all_cores(), bench_stack(env=ADAPTIVE) as stack:
        stack.processes.pop("web").stop()
        with stack.sql() as conn:
            conn.execute(
                "INSERT INTO attune.execution (action_ref, status)"
                " SELECT 'bench.sequencer', 'running' FROM generate_series(1, %s)",
                [ROWS],
            )
            wait_for(lambda: _inbox(conn) == 0, "the worker", seconds=GIVE_UP_SECONDS)
            conn.execute("VACUUM ANALYZE attune.execution")
            sustained = {
                (what, rate): _sustain(bench, conn, sql, rate)
                for what, sql in WAYS.items()
                for rate in (RATES[what] if bench.plan.runs > 1 else RATES[what][-1:])
            }
            bench.say(f"sequencer sustained: {sustained}")
            drained = _drain(bench, stack, conn)
            bench.say(f"sequencer: {drained}")
    per_second = drained.events / drained.seconds
    figures = {
        "sequencer.sustained": max(rate for rate, _ in sustained.values()),
        "sequencer.growth_mib": drained.growth_mib,
        "sequencer.drained_per_second": per_second,
    }
    if drained.events == 1_000_000:
        figures["sequencer.drain_seconds"] = drained.seconds
    rows: list[tuple[str, ...]] = [
        (
            f"backlog of {drained.events:,}",
            f"{drained.seconds:.1f} s",
            f"{per_second:,.0f}",
            f"{drained.growth_mib:.1f} MiB",
            "",
        )
    ]
    rows += [
        (f"{rate:,}/s wanted, {what}", "", f"{got:,.0f}", "", f"{writer:.0%}")
        for (what, rate), (got, writer) in sustained.items()
    ]
    columns = ("what", "time", "events/s", "memory grew by", "writer, of a core")
    return Outcome("The sequencer", Table(columns, rows), figures, NOTES)


def _drain(bench: Bench, stack: Stack, conn: psycopg.Connection[tuple[int, ...]]) -> Drained:
    stack.processes.pop("worker").stop()
    events = bench.plan.backlog
    for number in range(events // ROWS):
        conn.execute("UPDATE attune.execution SET enforcement = %s", [number])
    conn.execute("VACUUM attune.execution")
    first, began = _last(conn), time.monotonic()
    worker = stack.start_worker()
    least, most = 0, 0
    while _last(conn) < first + events:
        assert time.monotonic() < began + GIVE_UP_SECONDS, "the backlog is not drained"
        if _last(conn) > first + events * BEGIN_SHARE:
            memory = machine.private_bytes([worker.pid])
            least, most = least or memory, max(most, memory)
        time.sleep(LOOK_SECONDS)
    return Drained(events, time.monotonic() - began, (most - least) / machine.MIB)


def _sustain(
    bench: Bench, conn: psycopg.Connection[tuple[int, ...]], sql: LiteralString, rate: int
) -> tuple[float, float]:
    """Return the events/s that were made and sequenced, and the writer's share of a core."""
    ids = [row[0] for row in conn.execute("SELECT id FROM attune.execution ORDER BY id")]
    writer = conn.info.backend_pid
    at = 0

    def change(due: int, changes: int) -> None:
        nonlocal at
        if at + changes > len(ids):
            at = 0
        bounds = (due, ids[at], ids[at + changes - 1])
        at += changes
        conn.execute(sql, bounds)

    began, used = time.monotonic(), machine.cpu_seconds([writer])
    published = pacing.run(change, rate=rate, seconds=bench.plan.seconds)
    share = (machine.cpu_seconds([writer]) - used) / (time.monotonic() - began)
    while _inbox(conn):
        time.sleep(LOOK_SECONDS / 10)
    return published.changes / (time.monotonic() - began), share


def _inbox(conn: psycopg.Connection[tuple[int, ...]]) -> int:
    row = conn.execute("SELECT count(*) FROM (SELECT FROM attune.execution_inbox LIMIT 1) i")
    return int((row.fetchone() or (0,))[0])


def _last(conn: psycopg.Connection[tuple[int, ...]]) -> int:
    return int((conn.execute("SELECT last_seq FROM attune.stream_state").fetchone() or (0,))[0])
