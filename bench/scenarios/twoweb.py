"""Two web processes on one Redis, against one: with as many clients each, and with half of its."""

from __future__ import annotations

import statistics

from bench.measure import Run, session_on_ports
from bench.ours import Attune
from bench.outcome import RUN_COLUMNS, Outcome, Table, median, middle_cpu_us, run_row
from bench.plan import Bench

RATE = 100.0  # changes/s
NOTES = [
    "All web processes share the server's core. Both run all the time; CPU is of those that have"
    " clients.",
    "The target is held against what scaling out is: one more process with as many clients as the"
    " first. Two that share what one had (second row and last) have less to do each, rest"
    " for less and join fewer events in a write: a delivery costs more, but comes sooner.",
    "One and two take turns, each opened anew; the ratio is the median of those of neighbours."
    " One process with all clients is one run: no target is held against it.",
]


def run(bench: Bench, attune: Attune) -> Outcome:
    ports = [attune.port, attune.add_web()]
    webs = attune.webs
    all_, half = bench.plan.clients, bench.plan.clients // 2
    one_half, two = [], []
    try:
        attune.webs = webs[:1]
        one = [_measure(bench, attune, ports[:1], all_)]  # no target is held against it
        for _ in range(bench.plan.runs):
            attune.webs = webs[:1]
            one_half.append(_measure(bench, attune, ports[:1], half))
            attune.webs = webs
            two.append(_measure(bench, attune, ports, all_))
    finally:
        attune.webs = webs
        attune.end_web()
    pairs = zip(one_half, two, strict=True)
    rows = {
        f"one process, {half:,} clients": one_half,
        f"two, {half:,} clients each": two,
        f"one process, {all_:,} clients": one,
    }
    return Outcome(
        f"Two web processes: {RATE:g} changes/s",
        Table(
            RUN_COLUMNS,
            [run_row(median(runs), name=f"{attune.name}, {what}") for what, runs in rows.items()],
        ),
        {
            "twoweb.ratio": statistics.median(b.cpu_us / a.cpu_us for a, b in pairs),
            "twoweb.divided": middle_cpu_us(two) / middle_cpu_us(one),
        },
        NOTES,
        one + one_half + two,
    )


def _measure(bench: Bench, attune: Attune, ports: list[int], clients: int) -> Run:
    with session_on_ports(attune, ports, clients) as streams:
        run = streams.run(rate=RATE, seconds=bench.plan.seconds)
    bench.say(
        f"twoweb {attune.name} ×{len(ports)}, {clients}: {run.cpu_us:.1f} µs, lost {run.lost}"
    )
    return run
