"""What scenarios hand back: tables for a reader, figures for the targets, runs for the file."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.histogram import Histogram
from bench.measure import Run

# Trouble is added up over the runs, never hidden by a median.
_SUMMED = ("lost", "twice", "ended")


@dataclass
class Table:
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)


@dataclass
class Outcome:
    """`figures` by the names that bench/targets.py knows; `notes` say what a reader must know."""

    title: str
    table: Table
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)  # for the plots, and whoever asks

    def add(self, other: Outcome) -> None:
        """Take over what the same scenario gave on another server."""
        self.table.rows += other.table.rows
        self.figures |= other.figures
        self.notes = [*self.notes, *(note for note in other.notes if note not in self.notes)]
        self.runs += other.runs
        self.data |= other.data


RUN_COLUMNS = (
    "server",
    "clients",
    "changes/s",
    "deliveries/s",
    "lost",
    "p50 ms",
    "p99 ms",
    "max ms",
    "CPU a delivery",
    "server's core",
    "load client",
)


def run_row(run: Run, *, name: str = "") -> tuple[str, ...]:
    return (
        name or run.server,
        f"{run.clients:,}",
        f"{run.rate:,.0f}",
        f"{run.deliveries_per_second:,.0f}",
        f"{run.lost:,}" + (f" ({run.ended} streams broke)" if run.ended else ""),
        f"{run.p50_ms:.1f}",
        f"{run.p99_ms:.1f}",
        f"{run.max_ms:.1f}",
        f"{run.cpu_us:.2f} µs",
        f"{run.server_share:.0%}",
        f"{run.client_share:.0%}",
    )


def median(runs: Sequence[Run]) -> Run:
    """Return a run whose figures are the medians; losses are added up. Pure."""
    latency = Histogram()
    for run in runs:
        latency.add(Histogram(run.histogram))
    values: dict[str, Any] = {}
    for item in dataclasses.fields(Run):
        found = [getattr(run, item.name) for run in runs]
        if item.name in _SUMMED:
            values[item.name] = sum(found)
        elif isinstance(found[0], float):
            values[item.name] = statistics.median(found)
        elif isinstance(found[0], int):
            values[item.name] = statistics.median_low(found)
        else:
            values[item.name] = found[0]
    return Run(**{**values, "histogram": latency.pairs})


def middle_cpu_us(runs: Sequence[Run]) -> float:
    """Return the median CPU per delivery, of the runs' own quotients."""
    return statistics.median(run.cpu_us for run in runs)
