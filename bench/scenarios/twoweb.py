"""Two web processes on one Redis, half the clients each, against one with all of them."""

from __future__ import annotations

from bench.measure import Run, session_on_ports
from bench.ours import Attune
from bench.outcome import RUN_COLUMNS, Outcome, Table, median, middle_cpu_us, run_row
from bench.plan import Bench

RATE = 100.0  # changes/s
NOTES = [
    "All web processes share the server's core. Both run all the time; CPU is of those that have"
    " clients.",
]


def run(bench: Bench, attune: Attune) -> Outcome:
    ports = [attune.port, attune.add_web()]
    webs = attune.webs
    try:
        attune.webs = webs[:1]
        one = _measure(bench, attune, ports[:1])
        attune.webs = webs
        two = _measure(bench, attune, ports)
    finally:
        attune.webs = webs
        attune.end_web()
    return Outcome(
        f"Two web processes: {bench.plan.clients:,} clients, {RATE:g} changes/s",
        Table(
            RUN_COLUMNS,
            [
                run_row(median(one), name=f"{attune.name}, one process"),
                run_row(median(two), name=f"{attune.name}, two"),
            ],
        ),
        {"twoweb.ratio": middle_cpu_us(two) / middle_cpu_us(one)},
        NOTES,
        one + two,
    )


def _measure(bench: Bench, attune: Attune, ports: list[int]) -> list[Run]:
    with session_on_ports(attune, ports, bench.plan.clients) as streams:
        runs = [streams.run(rate=RATE, seconds=bench.plan.seconds) for _ in range(bench.plan.runs)]
    for run in runs:
        bench.say(f"twoweb {attune.name} ×{len(ports)}: {run.cpu_us:.1f} µs, lost {run.lost}")
    return runs
