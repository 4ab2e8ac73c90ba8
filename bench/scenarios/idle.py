"""5,000 connections to which nothing happens: what they cost in memory, threads and CPU."""

from __future__ import annotations

from bench import machine
from bench.measure import session
from bench.ours import Attune
from bench.outcome import Outcome, Table
from bench.plan import Bench

FIRST = 20  # streams that make the process load all it needs, before memory is looked at
NOTES = [
    "Memory is the web process's proportional set size with all streams open, less that with"
    f" {FIRST}; what the kernel keeps for a socket is not in it. The process is fresh.",
    "CPU is of the whole web process: heartbeats (each stream every 15 s), the hub's clock, the"
    " worker's position every second.",
]


def run(bench: Bench, attune: Attune) -> Outcome:
    count, seconds = bench.plan.many, bench.plan.idle_seconds
    attune.restart_web()
    with session(attune, FIRST) as first:
        first.run(rate=20, seconds=1.0)
        before, threads = machine.private_bytes(attune.pids), machine.threads(attune.pids)
    with session(attune, count) as streams:
        memory = machine.private_bytes(attune.pids) - before
        more_threads = machine.threads(attune.pids) - threads
        windows, cpu = streams.watch(seconds)
        later = machine.private_bytes(attune.pids) - before
    heartbeats = sum(window.heartbeats for window in windows)
    ended = sum(window.ended for window in windows)
    share, kib = cpu / seconds, max(memory, later) / count / 1024
    bench.say(f"idle {attune.name}: {kib:.1f} KiB, {more_threads} threads, {share:.1%} CPU")
    return Outcome(
        f"Idle: {count:,} connections for {seconds:g} s",
        Table(
            ("server", "memory each", "more threads", "heartbeats/s", "CPU", "broken off"),
            [
                (
                    attune.name,
                    f"{kib:.1f} KiB",
                    f"{more_threads}",
                    f"{heartbeats / seconds:.0f}",
                    f"{share:.2%} of a core",
                    f"{ended}",
                )
            ],
        ),
        {"idle.kib": kib, "idle.more_threads": float(more_threads), "idle.cpu_share": share},
        NOTES,
        data={f"idle {attune.name}": {"kib": kib, "cpu_share": share, "heartbeats": heartbeats}},
    )
