"""1,000 clients with 20 distinct filters: each filter is asked once about an event.

All filters let every event through, so that the deliveries are the same and the difference in
CPU is the filters'. With a filter of its own for each client, an event costs that many more
evaluations: which says what one costs, and so how many there were with 20.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bench.measure import Run, Session, session
from bench.ours import Attune
from bench.outcome import Outcome, Table
from bench.plan import Bench

RATE = 50.0  # changes/s
DISTINCT = 20
COUNTER = "attune_filter_evaluations_total"  # of the web process, where it has one
NOTES = [
    f"Evaluations: by the web process's counter `{COUNTER}`, where it has one; else inferred from"
    " CPU, by what a filter for each client costs more than one for all, which is a rough figure"
    " (nan: less than the noise).",
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
    cost = {n: statistics.median(one.cpu_us for one in found) for n, found in costs.items()}
    asked = {n: _evaluations(found, cost, n, most=clients) for n, found in costs.items()}
    return Outcome(
        f"Filters: {clients:,} clients, {RATE:g} changes/s that all of them get",
        Table(
            ("server", "distinct filters", "lost", "CPU an event", "evaluations"),
            [
                (
                    attune.name,
                    f"{distinct:,}",
                    f"{sum(one.run.lost for one in found):,}",
                    f"{cost[distinct]:,.0f} µs",
                    f"{asked[distinct]:,.1f}",
                )
                for distinct, found in costs.items()
            ],
        ),
        {"filters.evaluations": asked[DISTINCT], "filters.ratio": cost[DISTINCT] / cost[1]},
        NOTES,
        [one.run for found in costs.values() for one in found],
    )


def _evaluations(found: list[Cost], cost: dict[int, float], distinct: int, *, most: int) -> float:
    """Return the evaluations of an event: counted where there is a counter, else inferred."""
    counted = [one.counted for one in found if one.counted is not None]
    return statistics.median(counted) if counted else evaluations(cost, distinct, most=most)


def evaluations(cost: dict[int, float], distinct: int, *, most: int) -> float:
    """Return how many evaluations an event had, by what 1 and `most` filters cost. Pure."""
    one = (cost[most] - cost[1]) / (most - 1)
    return 1 + (cost[distinct] - cost[1]) / one if one > 0 else float("nan")


def _measure(bench: Bench, attune: Attune, clients: int, distinct: int) -> list[Cost]:
    requests = [
        attune.request(f"?action_ref=bench.*,other.n{number % distinct}")
        for number in range(clients)
    ]
    with session(attune, clients, requests=requests) as streams:
        # At most two: evaluations are counted, not measured.
        costs = [_cost(bench, attune, streams) for _ in range(min(2, bench.plan.runs))]
    for cost in costs:
        bench.say(f"filters {attune.name} {distinct} distinct: {cost.cpu_us:,.0f} µs an event")
    return costs


def _cost(bench: Bench, attune: Attune, streams: Session) -> Cost:
    before = attune.metric(COUNTER)
    run = streams.run(rate=RATE, seconds=bench.plan.seconds)
    after = attune.metric(COUNTER)
    counted = (after - before) / run.changes if after is not None and before is not None else None
    return Cost(run, run.server_cpu / run.changes * 1e6, counted)
