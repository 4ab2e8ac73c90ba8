"""5,000 clients, each watching its own execution: those that do not match must cost nothing.

Every change goes to exactly one client, with 100 clients as with 5,000. Heartbeats are held
against their own target, in `idle`, and there are none here: they can neither be left in (5,000
streams are sent 333 a second, until the first changes reach them) nor taken off (from then on they
are sent none). What else the process costs while nothing happens is measured first and taken off.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.measure import Run, session
from bench.ours import Attune
from bench.outcome import Outcome, Table
from bench.plan import Bench

RATE = 500.0  # changes/s
FEW = 100
HEARTBEAT_SECONDS = 600  # longer than a turn
RING_EVENTS = 10_000  # that a hub keeps in memory, ATTUNE_RING_EVENTS
TURNS = 2  # a machine's mood changes within the minute that one of them takes
NOTES = [
    "A change goes to exactly one client in both cases. The last column is the web process's CPU"
    " less what the same streams take while nothing changes, by the number of changes. Neither has"
    " heartbeats in it, which `idle` measures: a web process of its own, which sends none.",
    "Few and many take turns, each opened anew and with a run before those that count; the ratio is"
    " the median of those of neighbours.",
]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU in µs a change; `idle_share` of a core."""

    run: Run
    raw_us: float
    own_us: float
    idle_share: float


def run(bench: Bench, attune: Attune) -> Outcome:
    few, many = FEW, bench.plan.many
    costs: dict[int, list[Cost]] = {few: [], many: []}
    all_costs: list[Cost] = []
    with _without_heartbeats(bench, attune):
        for _ in range(min(TURNS, bench.plan.runs)):
            for streams, found in costs.items():
                measured = _measure(bench, attune, streams)
                all_costs += measured
                found += measured[1:]  # the first is dearer at times; why is not known
    middle = {n: statistics.median(cost.own_us for cost in found) for n, found in costs.items()}
    pairs = zip(costs[many], costs[few], strict=True)
    outcome = Outcome(
        f"Selective: each client watches its own execution, {RATE:g} changes/s",
        Table(("server", "clients", "lost", "p99 ms", "CPU a change", "idle", "CPU less idle")),
        {
            "selective.ratio": statistics.median(a.own_us / b.own_us for a, b in pairs),
            "selective.lost": float(
                sum(cost.run.lost + cost.run.twice + cost.run.ended for cost in all_costs)
            ),
        },
        NOTES,
        [cost.run for cost in all_costs],
    )
    for streams, found in costs.items():
        outcome.table.rows.append(_row(attune.name, streams, found, middle[streams]))
    return outcome


@contextmanager
def _without_heartbeats(bench: Bench, attune: Attune) -> Iterator[None]:
    """Serve by a web process that sends none, and keeps as many events as it may.

    From then on, each change makes it forget another one, with few clients as with many.
    """
    attune.restart_web(ATTUNE_HEARTBEAT_SECONDS=str(HEARTBEAT_SECONDS))
    try:
        with session(attune, 1) as stream:
            run = stream.run(rate=RING_EVENTS / 4, seconds=5.0)
        if run.changes < RING_EVENTS:
            bench.say(f"selective: only {run.changes} changes made, the hub keeps {RING_EVENTS}")
        yield
    finally:
        attune.restart_web()


def _measure(bench: Bench, attune: Attune, streams: int) -> list[Cost]:
    watched = attune.executions[:streams]
    requests = [attune.request(f"?execution_id={execution}") for execution in watched]
    with session(attune, streams, requests=requests) as open_streams:
        _, idle_cpu = open_streams.watch(bench.plan.seconds)
        attune.change_only(watched)
        try:
            runs = [
                open_streams.run(rate=RATE, seconds=bench.plan.seconds, each=1.0)
                for _ in range(max(2, bench.plan.runs))
            ]
        finally:
            attune.change_only(attune.executions)
    costs = [_cost(run, idle_share=idle_cpu / bench.plan.seconds) for run in runs]
    for cost in costs:
        bench.say(
            f"selective {attune.name} ×{streams}: {cost.raw_us:.0f} µs, {cost.own_us:.0f} own"
        )
    return costs


def _cost(run: Run, *, idle_share: float) -> Cost:
    own = run.server_cpu - idle_share * run.seconds
    return Cost(run, run.server_cpu / run.changes * 1e6, own / run.changes * 1e6, idle_share)


def _row(name: str, streams: int, found: list[Cost], own_us: float) -> tuple[str, ...]:
    return (
        name,
        f"{streams:,}",
        f"{sum(cost.run.lost for cost in found):,}",
        f"{statistics.median(cost.run.p99_ms for cost in found):.1f}",
        f"{statistics.median(cost.raw_us for cost in found):.0f} µs",
        f"{statistics.median(cost.idle_share for cost in found):.1%} of a core",
        f"{own_us:.0f} µs",
    )
