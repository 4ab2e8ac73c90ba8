"""Throughput and memory against the number of clients, for the plots."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from bench import machine
from bench.loadclient import LoadClientError
from bench.measure import Run, session
from bench.ours import Attune
from bench.outcome import Outcome, Table
from bench.plan import OFTEN, Bench
from bench.scenarios.rivals import Start, rivals
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
        starts: dict[str, Start] = {attune.name: lambda: nullcontext[Server](attune)}
        for name, start in {**starts, **rivals(bench, *OFTEN)}.items():
            try:
                _point(bench, outcome, start(), clients)
            except LoadClientError as exc:  # it cannot hold so many; the others may
                bench.say(f"sweep {name} ×{clients}: {exc}")
                outcome.table.rows.append((name, f"{clients:,}", "failed", "–"))
    return outcome


def _point(
    bench: Bench, outcome: Outcome, running: AbstractContextManager[Server], clients: int
) -> None:
    with running as server, session(server, clients) as streams:
        memory = machine.private_bytes(server.pids) / machine.MIB
        rate, runs = BEGIN[server.name] / clients, list[Run]()
        for _ in range(MOST_STEPS):
            runs.append(streams.run(rate=rate, seconds=bench.plan.step_seconds / 2))
            if runs[-1].ended or not runs[-1].p99_ms <= P99_MS:
                break
            rate *= FACTOR
        name = server.name
    most = max(run.deliveries_per_second for run in runs)
    bench.say(
        f"sweep {name} ×{clients}: {most:,.0f}/s, {memory:.0f} MiB,"
        f" lost {sum(run.lost for run in runs)},"
        f" load client at most {max(run.client_share for run in runs):.0%}"
    )
    outcome.table.rows.append((name, f"{clients:,}", f"{most:,.0f}", f"{memory:.0f}"))
    points = outcome.data.setdefault(name, [])
    points.append({"clients": clients, "deliveries_per_second": most, "memory_mib": memory})
