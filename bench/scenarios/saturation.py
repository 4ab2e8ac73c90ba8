"""1,000 clients without a filter, as many changes a second as it takes.

The rate goes up by half at a time until the server does not keep up, twice in a row: what it
delivers then is its peak. Then the step between what it sustained and what it did not is halved.
Two figures: the most deliveries/s seen at all, and the best rate that is sustained: everything
delivered, once, p99 within the bound. That rate is measured again, for longer.
"""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from bench import pacing
from bench.measure import LOOK_SECONDS, Run, Session, session
from bench.ours import Attune
from bench.outcome import RUN_COLUMNS, Outcome, Table, median, run_row
from bench.plan import OFTEN, ONCE, RAW, Bench
from bench.scenarios.rivals import rivals
from bench.servers import Server

P99_MS = 250.0
FACTOR = 1.5
HALVINGS = 2
KEEPS_UP = 0.9  # of the deliveries that were due
MOST_STEPS = 12
# Deliveries/s to begin with: below what each takes on a slow machine.
BEGIN = {
    "nchan": 40_000,
    "raw uvloop writer": 100_000,
    "sse-starlette": 5_000,
    "django-eventstream": 4_000,
    "attune on uvicorn": 300_000,
    "attune on daphne": 150_000,
}
OVERLOAD = 2.0  # times as much as it delivers at its peak
OVERLOAD_SECONDS = 3.0
NORMAL_RATE = 20.0  # changes/s afterwards
RECOVERY_SECONDS = 20.0
FOR_GOOD_SECONDS = 4.0  # after so long without a late look it has recovered
NOTES = [
    f"p99 is at most {P99_MS:g} ms and nothing is lost in each row but those called peak: the most"
    " deliveries/s seen, at whatever latency and loss.",
    "Above 100 changes/s, those of 10 ms are due at once, for everybody: ours makes them by one"
    " UPDATE, nchan gets them pipelined, the Python peers in one request.",
    f"“Normal again” counts from the end of {OVERLOAD_SECONDS:g} s with {OVERLOAD:g} times as many"
    " changes as it delivers at its peak: what is left over by then takes it as long again.",
]


@dataclass(frozen=True, slots=True)
class Found:
    """`best` is None where no rate was sustained. `recovery_seconds` after the overload, nan
    where there was none."""

    best: Run | None
    peak: Run
    runs: list[Run]
    recovery_seconds: float


def run(bench: Bench, attune: Attune) -> Outcome:
    ours = nullcontext[Server](attune)
    found = {attune.name: _measure(bench, ours, attune.name, recovery=True)}
    for name, start in rivals(bench, *OFTEN, *ONCE).items():
        found[name] = _measure(bench, start(), name)
    outcome = Outcome(
        f"Saturation: {bench.plan.clients:,} clients, as many changes/s as it takes",
        Table(RUN_COLUMNS),
        _figures(found, attune.name),
        NOTES,
        [run for one in found.values() for run in one.runs],
    )
    for name, one in found.items():
        if one.best is not None:
            outcome.table.rows.append(run_row(one.best))
        outcome.table.rows.append(run_row(one.peak, name=f"{name} (peak)"))
    return outcome


def _measure(
    bench: Bench, running: AbstractContextManager[Server], name: str, *, recovery: bool = False
) -> Found:
    with running as server, session(server, bench.plan.clients) as streams:
        runs = climb(bench, streams, BEGIN[name] / bench.plan.clients)
        sustained = [run for run in runs if is_sustained(run)]
        peak = max(runs, key=lambda run: run.deliveries_per_second)
        most = peak.deliveries_per_second / streams.streams  # changes/s
        seconds = _recovery(streams, rate=OVERLOAD * most) if recovery else math.nan
        best = _again(bench, streams, max(sustained, key=lambda r: r.rate)) if sustained else None
        return Found(best, peak, runs, seconds)


def climb(bench: Bench, streams: Session, rate: float) -> list[Run]:
    """Raise the rate until it is not kept up with, or streams break; then look in between."""
    runs: list[Run] = []
    behind = 0
    while len(runs) < MOST_STEPS and behind < 2:
        run = _step(bench, streams, rate)
        runs.append(run)
        if run.ended:
            return runs
        keeps_up = run.deliveries_per_second > rate * streams.streams * KEEPS_UP
        behind = 0 if keeps_up else behind + 1
        rate *= FACTOR
    low = max((run.rate for run in runs if is_sustained(run)), default=0.0)
    high = low * FACTOR
    for _ in range(HALVINGS if low else 0):
        runs.append(_step(bench, streams, math.sqrt(low * high)))
        if is_sustained(runs[-1]):
            low = runs[-1].rate
        else:
            high = runs[-1].rate
    return runs


def _step(bench: Bench, streams: Session, rate: float) -> Run:
    run = streams.run(rate=rate, seconds=bench.plan.step_seconds)
    bench.say(
        f"saturation {run.server}: {run.rate:.0f}/s ×{run.clients} ->"
        f" {run.deliveries_per_second:,.0f}/s, p99 {run.p99_ms:.0f} ms, lost {run.lost},"
        f" server {run.server_share:.0%}, load client {run.client_share:.0%}"
    )
    return run


def is_sustained(run: Run) -> bool:
    return run.whole and run.p99_ms <= P99_MS


def _again(bench: Bench, streams: Session, best: Run) -> Run | None:
    """Measure the best rate as often and as long as all others; go down while it fails."""
    rate = best.rate
    for _ in range(3):
        often = 1 if streams.server.name in (*ONCE, RAW) else bench.plan.runs
        runs = [streams.run(rate=rate, seconds=bench.plan.seconds) for _ in range(often)]
        middle = median(runs)
        if is_sustained(middle):
            return middle
        rate /= FACTOR
    return None


def _recovery(streams: Session, *, rate: float) -> float:
    """Return the seconds after an overload until p99 is within the bound again, for good."""
    publish = streams.server.publish
    pacing.run(publish, rate=rate, seconds=OVERLOAD_SECONDS, give_up_seconds=0.0)
    streams.report()
    began = slow = time.monotonic()
    while slow < began + RECOVERY_SECONDS:
        pacing.run(publish, rate=NORMAL_RATE, seconds=LOOK_SECONDS)
        if not streams.report().latency.percentile_ms(0.99) <= P99_MS:  # nan: nothing came
            slow = time.monotonic()
        elif time.monotonic() > slow + FOR_GOOD_SECONDS:
            return slow - began
    return math.inf


def _figures(found: dict[str, Found], ours: str) -> dict[str, float]:
    """Where we sustain no rate at all, every target is missed, not left unmeasured."""
    best, peak = found[ours].best, found[ours].peak
    sustained = best.deliveries_per_second if best is not None else 0.0
    judged = best or peak
    figures = {
        "saturation.peak": peak.deliveries_per_second,
        "saturation.recovery_seconds": found[ours].recovery_seconds,
        "saturation.deliveries_per_second": sustained,
        "saturation.p99_ms": judged.p99_ms,
        "saturation.lost": float(judged.lost + judged.twice + judged.ended),
        "saturation.client_share": judged.client_share,
    }
    names = {"nchan": "nchan", "django-eventstream": "eventstream", "raw uvloop writer": "raw"}
    for name, key in names.items():
        if name in found:
            # Where a peer sustains no rate, its peak: the comparison that is kinder to it.
            other = found[name].best or found[name].peak
            figures[f"saturation.to_{key}"] = sustained / other.deliveries_per_second
            figures[f"saturation.peak_to_{key}"] = (
                peak.deliveries_per_second / found[name].peak.deliveries_per_second
            )
    return figures
