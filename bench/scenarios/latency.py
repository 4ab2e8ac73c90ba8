"""100 clients, 20 changes a second: held against a bare LISTEN that gets the same commits.

`bench/latency.py` measures: the server has a core, the client the others, all else may run on any.
"""

from __future__ import annotations

import statistics

from bench import latency, machine
from bench.outcome import Outcome, Table
from bench.plan import Bench
from bench.stack import bench_stack

CLIENTS = 100
RATE = 20.0  # changes/s
NOTES = [
    "Both are counted from the moment a change was due: PostgreSQL tells the listener in the same"
    " moment as the writer, so that from the COMMIT's return the listener has about nothing.",
]


def run(bench: Bench, server: str) -> Outcome:
    runs = []
    with machine.all_cores(), bench_stack(server=server) as stack:
        for _ in range(bench.plan.runs):
            runs.append(latency.measure(stack, count=CLIENTS, rate=RATE, seconds=_seconds(bench)))
    pairs = [latency.from_scheduled(run) for run in runs]
    lost = sum(latency.lost(run) for run in runs)
    columns = ("server", "lost", "p50 ms", "p99 ms", "LISTEN p50 ms", "LISTEN p99 ms", "p50", "p99")
    ratios = {
        name: statistics.median(ours[name] / bare[name] for ours, bare in pairs)
        for name in ("p50", "p99")
    }
    middle = [
        f"{statistics.median(pair[which][name] for pair in pairs):.2f}"
        for which in (0, 1)
        for name in ("p50", "p99")
    ]
    name = f"attune on {server}"
    bench.say(f"latency {name}: {pairs} -> {ratios}, lost {lost}")
    row = (name, f"{lost}", *middle, *(f"{ratio:.2f} ×" for ratio in ratios.values()))
    return Outcome(
        f"Latency: {CLIENTS} clients, {RATE:g} changes/s",
        Table(columns, [row]),
        {"latency.p50_ratio": ratios["p50"], "latency.p99_ratio": ratios["p99"]},
        NOTES,
    )


def _seconds(bench: Bench) -> float:
    return 3 * bench.plan.seconds
