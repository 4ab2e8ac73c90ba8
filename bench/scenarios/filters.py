"""1,000 clients with 20 distinct filters: each filter is asked once about an event.

All filters let every event through, so that the deliveries are the same and the difference in
CPU is the filters'. With a filter of its own for each client, an event costs that many more
evaluations: which says what one costs, and so how many there were with 20.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.measure import Run, session
from bench.ours import Attune
from bench.outcome import Outcome, Table
from bench.plan import Bench

RATE = 50.0  # changes/s
DISTINCT = 20
COUNTER = "attune_filter_evaluations_total"  # of the web process, where it has one
NOTES = [
    f"Evaluations: by the web process's counter `{COUNTER}`, where it has one; else inferred from"
    " CPU, by what a filter for each client costs more than one for all, which is a rough figure"
    " (nan: less than the noise). One run each.",
]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU in µs an event; `counted` evaluations of an event, where there is a counter."""

    run: Run
    cpu_us: float
    counted: float | None


def run(bench: Bench, attune: Attune) -> Outcome:
    clients = bench.plan.clients
    costs = {n: _measure(bench, attune, clients, n) for n in (1, DISTINCT, clients)}
    cpu = {n: cost.cpu_us for n, cost in costs.items()}
    asked = {
        n: evaluations(cpu, n, most=clients) if cost.counted is None else cost.counted
        for n, cost in costs.items()
    }
    return Outcome(
        f"Filters: {clients:,} clients, {RATE:g} changes/s that all of them get",
        Table(
            ("server", "distinct filters", "lost", "CPU an event", "evaluations"),
            [
                (
                    attune.name,
                    f"{n:,}",
                    f"{cost.run.lost:,}",
                    f"{cost.cpu_us:,.0f} µs",
                    f"{asked[n]:,.1f}",
                )
                for n, cost in costs.items()
            ],
        ),
        {"filters.evaluations": asked[DISTINCT], "filters.ratio": cpu[DISTINCT] / cpu[1]},
        NOTES,
        [cost.run for cost in costs.values()],
    )


def evaluations(cost: dict[int, float], distinct: int, *, most: int) -> float:
    """Return how many evaluations an event had, by what 1 and `most` filters cost. Pure."""
    one = (cost[most] - cost[1]) / (most - 1)
    return 1 + (cost[distinct] - cost[1]) / one if one > 0 else float("nan")


def _measure(bench: Bench, attune: Attune, clients: int, distinct: int) -> Cost:
    """One run is enough: evaluations are counted, not measured."""
    requests = [
        attune.request(f"?action_ref=bench.*,other.n{number % distinct}")
        for number in range(clients)
    ]
    with session(attune, clients, requests=requests) as streams:
        before = attune.metric(COUNTER)
        run = streams.run(rate=RATE, seconds=bench.plan.seconds)
        after = attune.metric(COUNTER)
    counted = (after - before) / run.changes if after is not None and before is not None else None
    cost = Cost(run, run.server_cpu / run.changes * 1e6, counted)
    bench.say(f"filters {attune.name} {distinct} distinct: {cost.cpu_us:,.0f} µs an event")
    return cost
