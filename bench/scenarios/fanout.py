"""1,000 clients without a filter, 100 changes a second, from the SQL commit to the client."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from bench.measure import Run, session
from bench.ours import Attune
from bench.outcome import RUN_COLUMNS, Outcome, Table, median, middle_cpu_us, run_row
from bench.plan import OFTEN, ONCE, Bench
from bench.scenarios.rivals import rivals
from bench.servers import Server

RATE = 100.0  # changes/s
WARMUP_SECONDS = 1.0
NOTES = [
    "ours: one UPDATE and COMMIT for each change, PostgreSQL, worker, Redis, web process; CPU is"
    " the web process's. Peers: the same bytes of data by their own way to publish (nchan: POST"
    " to its publisher location; the Python ones: POST to a view that calls their broadcast), no"
    " database; CPU is that of the server, publishing included.",
    "Latency counts from the moment a change was due, so a late writer hides nothing; the load"
    " client looks every 0.5 ms.",
]


def run(bench: Bench, attune: Attune) -> Outcome:
    """Measure in turns, so that a change in the machine's mood hits everybody."""
    runs: dict[str, list[Run]] = {}
    often, once = rivals(bench, *OFTEN), rivals(bench, *ONCE)
    for number in range(bench.plan.runs):
        runs.setdefault(attune.name, []).append(_measure(bench, nullcontext[Server](attune)))
        for name, start in {**often, **(once if number == 0 else {})}.items():
            runs.setdefault(name, []).append(_measure(bench, start()))
    middle = {name: median(found) for name, found in runs.items()}
    return Outcome(
        f"Fan-out: {bench.plan.clients:,} clients, {RATE:g} changes/s",
        Table(RUN_COLUMNS, [run_row(one) for one in middle.values()]),
        _figures(attune, runs, middle),
        NOTES,
        [run for found in runs.values() for run in found],
        {f"latency {name}": one.histogram for name, one in middle.items()},
    )


def _measure(bench: Bench, running: AbstractContextManager[Server]) -> Run:
    with running as server, session(server, bench.plan.clients) as open_streams:
        open_streams.run(rate=RATE, seconds=WARMUP_SECONDS)
        run = open_streams.run(rate=RATE, seconds=bench.plan.seconds)
        bench.say(
            f"fanout {run.server}: {run.cpu_us:.1f} µs, p99 {run.p99_ms:.1f} ms, lost {run.lost}"
        )
        return run


def _figures(
    attune: Attune, runs: dict[str, list[Run]], middle: dict[str, Run]
) -> dict[str, float]:
    ours = middle[attune.name]
    figures = {
        "fanout.lost": float(ours.lost + ours.twice + ours.ended),
        "fanout.p99_ms": ours.p99_ms,
        "fanout.cpu_us": middle_cpu_us(runs[attune.name]),
    }
    for name, key in (("nchan", "nchan"), ("raw uvloop writer", "raw")):
        if name in runs:
            figures[f"fanout.cpu_to_{key}"] = figures["fanout.cpu_us"] / middle_cpu_us(runs[name])
    return figures
