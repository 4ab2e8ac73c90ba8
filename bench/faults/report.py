"""The table of all faults, in Markdown, and everything measured, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence

from bench.faults.checker import (
    DUPLICATES,
    INVERSIONS,
    LOST,
    PHANTOMS,
    RESETS,
    UNASKED,
    UNAUTHORISED,
)
from bench.faults.clients import CONNECTION_LOST
from bench.faults.outcome import Outcome

PLACES = 20  # clients at which something was found that are printed for a scenario

_COUNTS = (LOST, DUPLICATES, INVERSIONS, UNAUTHORISED, RESETS)
_HEAD = (
    "| fault | changes | deliveries | lost | duplicates | inversions | unauthorised | resets"
    " | other | recovered | worst delay | slowest write | web process | |"
)
_RULE = "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|"


def table(outcomes: Sequence[Outcome]) -> str:
    """Return one row a fault."""
    return "\n".join([_HEAD, _RULE, *map(row, outcomes)])


def row(outcome: Outcome) -> str:
    if outcome.reason_not_run is not None:
        return f"| {outcome.what} |" + " |" * 12 + f" not run: {outcome.reason_not_run} |"
    other = outcome.counts[PHANTOMS] + outcome.counts[UNASKED]
    maybe = f" + {outcome.maybe} unknown" if outcome.maybe else ""
    cells = [
        outcome.what,
        f"{outcome.changes}{maybe}",
        str(outcome.deliveries),
        *(str(outcome.counts[kind]) for kind in _COUNTS),
        str(other),
        _seconds(max(outcome.recovery, default=math.nan)),
        _seconds(outcome.worst_delay),
        _seconds(outcome.slowest_write),
        f"{outcome.growth_mib:+.0f} MiB",
        "passed" if outcome.passed else "**FAILED**",
    ]
    return "| " + " | ".join(cells) + " |"


def details(outcomes: Iterable[Outcome]) -> str:
    """Return what went wrong and what was odd, scenario by scenario; empty where nothing."""
    return "\n".join(line for outcome in outcomes for line in _details(outcome))


def _details(outcome: Outcome) -> list[str]:
    lines = [] if outcome.failure is None else [outcome.failure]
    lines += [f"{count} {place}" for place, count in outcome.places.most_common(PLACES)]
    lines += outcome.examples
    for name, counter in (
        ("answers", outcome.statuses),
        ("closed by the server", outcome.closes),
        ("clients", outcome.troubles),
    ):
        for what, count in counter.items():
            if what != CONNECTION_LOST:  # what a fault is there for
                lines.append(f"{name}: {what} ({count} times)")
    return [f"- {outcome.name} (seed {outcome.seed}): {line}" for line in lines + outcome.notes]


def partitions(outcomes: Iterable[Outcome]) -> str:
    """Return one row a partition of the network; empty where there was none."""
    rows = [
        f"| {what} | {changes} | {_seconds(worst)} | {_seconds(recovered)} |"
        for outcome in outcomes
        for what, changes, worst, recovered in outcome.cuts
    ]
    head = ["", "| cut | changes meanwhile | worst delay of one | recovered |", "|---|--:|--:|--:|"]
    return "\n".join([*head, *rows, ""]) if rows else ""


def as_json(outcomes: Iterable[Outcome]) -> str:
    return json.dumps([vars(o) | {"passed": o.passed} for o in outcomes], indent=1)


def _seconds(value: float) -> str:
    return "–" if math.isnan(value) else "never" if math.isinf(value) else f"{value:.2f} s"
