"""Throughput and memory against the number of clients, for the plots."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from bench import machine
from bench.measure import Run, session
from bench.ours import Attune
from bench.outcome import Outcome, Table
from bench.plan import OFTEN, Bench
from bench.scenarios.rivals import rivals
from bench.scenarios.saturation import BEGIN
from bench.servers import Server

FACTOR = 1.7
MOST_STEPS = 8
P99_MS = 1000.0  # beyond, a queue only grows
NOTES = [
    f"The rate is raised by {FACTOR:g} until p99 is over {P99_MS:g} ms; the most deliveries/s seen."
    " Memory is the server's proportional set size with all streams open and nothing sent yet.",
]


def run(bench: Bench, attune: Attune) -> Outcome:
    outcome = Outcome(
        "Against the number of clients",
        Table(("server", "clients", "deliveries/s", "memory, MiB")),
        notes=NOTES,
    )
    for clients in bench.plan.sweep:
        attune.restart_web()
        _point(bench, outcome, nullcontext[Server](attune), clients)
        for start in rivals(bench, *OFTEN).values():
            _point(bench, outcome, start(), clients)
    return outcome


def _point(
    bench: Bench, outcome: Outcome, running: AbstractContextManager[Server], clients: int
) -> None:
    with running as server, session(server, clients) as streams:
        memory = machine.private_bytes(server.pids) / machine.MIB
        rate, best = BEGIN[server.name] / clients, 0.0
        for _ in range(MOST_STEPS):
            run: Run = streams.run(rate=rate, seconds=bench.plan.step_seconds / 2)
            best = max(best, run.deliveries_per_second)
            if run.ended or not run.p99_ms <= P99_MS:
                break
            rate *= FACTOR
        name = server.name
    bench.say(f"sweep {name} ×{clients}: {best:,.0f}/s, {memory:.0f} MiB")
    outcome.table.rows.append((name, f"{clients:,}", f"{best:,.0f}", f"{memory:.0f}"))
    points = outcome.data.setdefault(name, [])
    points.append({"clients": clients, "deliveries_per_second": best, "memory_mib": memory})
