"""5,000 clients, each watching its own execution: those that do not match must cost nothing.

Every change goes to exactly one client, of 100 as of 5,000. A machine's mood changes by a tenth or
two within a minute, so both are there at once, each at a web process of its own, and take turns.

Heartbeats are held against their own target, in `idle`, and there are none here: they can neither
be left in (5,000 streams are sent 333 a second, until the first changes reach them) nor taken off
(from then on they are sent none). What else a process costs while nothing happens is measured
first and taken off.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench import machine
from bench.measure import Run, Session, session
from bench.ours import Attune
from bench.outcome import Outcome, Table
from bench.plan import Bench
from tests.servers import Process

RATE = 500.0  # changes/s
FEW = 100
NO_HEARTBEATS = {"ATTUNE_HEARTBEAT_SECONDS": "600"}  # longer than it all takes
RING_EVENTS = 10_000  # that a hub keeps in memory, ATTUNE_RING_EVENTS
NOTES = [
    "A change goes to exactly one client, of the few or of the many, who are at two web processes"
    " that share the server's core. The last column is a process's CPU less what it takes while"
    " nothing changes, by the number of changes. Neither has heartbeats in it, which `idle`"
    " measures: these processes send none.",
    "Few and many take turns of some seconds; the ratio is the median of those of neighbours.",
]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU in µs a change; `idle_share` of a core."""

    run: Run
    raw_us: float
    own_us: float
    idle_share: float


@dataclass(frozen=True, slots=True)
class _Side:
    """A web process whose streams watch these executions, each its own."""

    web: Process
    watched: list[int]
    streams: Session


def run(bench: Bench, attune: Attune) -> Outcome:
    found: tuple[list[Cost], list[Cost]] = ([], [])
    with _two_webs(attune), ExitStack() as stack:
        sides = _open(attune, bench.plan.many, stack)
        _fill(bench, attune, sides[0])
        idle = _idle_shares(sides, seconds=2 * bench.plan.seconds)
        for _ in range(1 + 2 * bench.plan.runs):
            for side, idle_share, costs in zip(sides, idle, found, strict=True):
                costs.append(_cost(bench, attune, side, idle_share))
    few, many = ([cost.own_us for cost in costs[1:]] for costs in found)  # the first warms up
    pairs = zip(many, few, strict=True)
    runs = [cost.run for costs in found for cost in costs]
    return Outcome(
        f"Selective: each client watches its own execution, {RATE:g} changes/s",
        Table(
            ("server", "clients", "lost", "p99 ms", "CPU a change", "idle", "CPU less idle"),
            [_row(attune.name, costs) for costs in found],
        ),
        {
            "selective.ratio": statistics.median(a / b for a, b in pairs),
            "selective.lost": float(sum(run.lost + run.twice + run.ended for run in runs)),
        },
        NOTES,
        runs,
    )


@contextmanager
def _two_webs(attune: Attune) -> Iterator[None]:
    attune.restart_web(**NO_HEARTBEATS)
    try:
        yield
    finally:
        attune.restart_web()


def _open(attune: Attune, many: int, stack: ExitStack) -> list[_Side]:
    """Open the few at one web process and the many at another, for as long as `stack` lasts."""
    ports = [attune.port, attune.add_web(**NO_HEARTBEATS)]
    webs = attune.webs
    stack.callback(_end, attune, ports[0], webs)
    executions = attune.executions[:FEW], attune.executions[FEW : FEW + many]
    sides = []
    for web, port, watched in zip(webs, ports, executions, strict=True):
        attune.webs, attune.port = [web], port
        requests = [attune.request(f"?execution_id={execution}") for execution in watched]
        streams = stack.enter_context(session(attune, len(watched), requests=requests))
        sides.append(_Side(web, watched, streams))
    return sides


def _end(attune: Attune, port: int, webs: list[Process]) -> None:
    attune.change_only(attune.executions)
    attune.webs, attune.port = webs, port
    attune.end_web()


def _fill(bench: Bench, attune: Attune, side: _Side) -> None:
    """Fill both processes' memory: from then on, a change makes each forget another one."""
    attune.change_only(side.watched)
    run = side.streams.run(rate=RING_EVENTS / 4, seconds=5.0, each=1.0)
    if run.changes < RING_EVENTS:
        bench.say(f"selective: only {run.changes} changes made, a hub keeps {RING_EVENTS}")


def _idle_shares(sides: list[_Side], *, seconds: float) -> list[float]:
    """Return what share of a core each takes while nothing changes, in the same seconds."""
    used = [machine.cpu_seconds([side.web.pid]) for side in sides]
    time.sleep(seconds)
    return [
        (machine.cpu_seconds([side.web.pid]) - before) / seconds
        for side, before in zip(sides, used, strict=True)
    ]


def _cost(bench: Bench, attune: Attune, side: _Side, idle_share: float) -> Cost:
    attune.webs = [side.web]
    attune.change_only(side.watched)
    run = side.streams.run(rate=RATE, seconds=bench.plan.seconds, each=1.0)
    own = run.server_cpu - idle_share * run.seconds
    raw_us, own_us = (cpu / run.changes * 1e6 for cpu in (run.server_cpu, own))
    bench.say(f"selective {attune.name} ×{run.clients}: {raw_us:.0f} µs, {own_us:.0f} own")
    return Cost(run, raw_us, own_us, idle_share)


def _row(name: str, costs: list[Cost]) -> tuple[str, ...]:
    counted = costs[1:]
    return (
        name,
        f"{costs[0].run.clients:,}",
        f"{sum(cost.run.lost for cost in costs):,}",
        f"{statistics.median(cost.run.p99_ms for cost in counted):.1f}",
        f"{statistics.median(cost.raw_us for cost in counted):.0f} µs",
        f"{costs[0].idle_share:.1%} of a core",
        f"{statistics.median(cost.own_us for cost in counted):.0f} µs",
    )
