"""The results as a page and as a file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.outcome import Outcome, Table
from bench.targets import Verdict, judge

MARKS = ("<!-- results -->", "<!-- end of results -->")


def markdown_table(table: Table) -> str:
    """Return the table; the first column to the left, the others to the right. Pure."""
    rule = "|---|" + "--:|" * (len(table.columns) - 1)
    rows = ("| " + " | ".join(row) + " |" for row in (table.columns, *table.rows))
    head, *rest = rows
    return "\n".join([head, rule, *rest])


def targets_table(figures: Mapping[str, float]) -> Table:
    rows: list[tuple[str, ...]] = [
        (
            f"{verdict.target.scenario}: {verdict.target.text}",
            f"{'≥' if verdict.target.at_least else '≤'} {_with_unit(verdict, number=None)}",
            _with_unit(verdict, number=verdict.value) if verdict.value is not None else "–",
            verdict.word,
        )
        for verdict in judge(figures)
    ]
    return Table(("target", "bound", "measured", ""), rows)


def _with_unit(verdict: Verdict, *, number: float | None) -> str:
    value = verdict.target.bound if number is None else number
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text} {verdict.target.unit}".strip()


def figures_of(outcomes: Mapping[str, Outcome]) -> dict[str, float]:
    return {name: value for one in outcomes.values() for name, value in one.figures.items()}


def page(
    outcomes: Mapping[str, Outcome],
    *,
    machine: Mapping[str, str],
    missing: Mapping[str, str],
    how: str,
    plots: list[tuple[str, Path]],
) -> str:
    """Return what stands in docs/benchmarks.md between the two marks. Pure."""
    parts = [how, _machine(machine), "### Targets"]
    parts.append(markdown_table(targets_table(figures_of(outcomes))))
    if missing:
        parts.append("Missing, so not compared with: ")
        parts[-1] += "; ".join(f"**{name}** ({how_to})" for name, how_to in missing.items()) + "."
    parts += [f"![{title}]({path})" for title, path in plots]
    for outcome in outcomes.values():
        parts.append(f"### {outcome.title}")
        parts += [markdown_table(outcome.table)] if outcome.table.rows else []
        parts += ["\n".join(f"- {note}" for note in outcome.notes)] if outcome.notes else []
    return "\n\n".join(parts) + "\n"


def between_marks(document: str, text: str) -> str:
    """Return the document with this text in place of what stood between its marks. Pure."""
    before, begin, rest = document.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not end:
        raise ValueError(f"the document lacks its marks {MARKS}")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def _machine(machine: Mapping[str, str]) -> str:
    return "Machine: " + "; ".join(f"{name} {value}" for name, value in machine.items()) + "."


def as_json(
    outcomes: Mapping[str, Outcome], *, machine: Mapping[str, str], missing: Mapping[str, str]
) -> str:
    """Return everything: figures, verdicts, every run with its histogram."""
    figures = figures_of(outcomes)
    document: dict[str, Any] = {
        "machine": dict(machine),
        "missing": dict(missing),
        "figures": figures,
        "verdicts": [
            {**dataclasses.asdict(v.target), "value": v.value, "verdict": v.word.strip("*")}
            for v in judge(figures)
        ],
        "scenarios": {name: dataclasses.asdict(one) for name, one in outcomes.items()},
    }
    return json.dumps(document, indent=1)
