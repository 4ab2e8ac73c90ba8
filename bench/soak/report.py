"""What a soak showed, in Markdown, as JSON, and drawn."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from bench.faults.checker import KINDS
from bench.outcome import Table
from bench.report import markdown_table
from bench.soak.flat import MIB
from bench.soak.run import Result


def page(result: Result, *, machine: Mapping[str, str]) -> str:
    """Return what stands in docs/soak.md between its marks."""
    plan, chapters = result.plan, result.chapters
    counts = sum((chapter.counts for chapter in chapters), Counter[str]())
    totals = Table(("", "in all"))
    recovery = [seconds for chapter in chapters for seconds in chapter.recovery]
    totals.rows = [
        ("changes committed", f"{sum(c.changes for c in chapters):,}"),
        ("of these in doubt: the connection broke before COMMIT answered", _maybe(result)),
        ("events delivered and held against the log", f"{sum(c.deliveries for c in chapters):,}"),
        ("streams opened", f"{sum(c.connects for c in chapters):,}"),
        ("REST requests", f"{result.answers.total():,}"),
        ("faults", f"{result.struck.total():,}"),
        *((kind, str(counts[kind])) for kind in KINDS),
        ("answers that nobody should get", str(sum(result.wrong_answers.values()))),
        ("longest from a fault to the next event", f"{max(recovery, default=0.0):.1f} s"),
        ("cores of product and Redis, on average", f"{result.cores:.2f}"),
    ]
    struck = Table(("fault", "times"), [(n, str(k)) for n, k in sorted(result.struck.items())])
    steady = f"{2 * plan.steady_clients} steady clients"
    how = (
        f"{result.seconds / 60:.0f} minutes, {plan.server}, seed {plan.seed}: {steady},"
        f" {plan.coming_clients + 15} that come and go or are slow, 4 that never read;"
        f" {plan.rate:g} changes/s, {plan.requests_rate:g} REST requests/s."
        f" **{'Passed' if result.passed else 'FAILED'}.**"
    )
    facts = "Machine: " + "; ".join(f"{name} {value}" for name, value in machine.items()) + "."
    parts = [how, facts, markdown_table(totals), markdown_table(_flats(result))]
    return "\n\n".join([*parts, markdown_table(struck)])


def _maybe(result: Result) -> str:
    return f"{sum(chapter.maybe for chapter in result.chapters):,}"


def _flats(result: Result) -> Table:
    table = Table(("figure", "second quarter", "last quarter", "highest", "slope", "limit", ""))
    for flat in result.flats:
        places = 1 if flat.name.endswith(MIB) else 0
        table.rows.append(
            (
                flat.name,
                f"{flat.second:.{places}f}",
                f"{flat.last:.{places}f}",
                f"{flat.highest:.{places}f}",
                f"{flat.slope_per_hour:+.1f}/h",
                f"+{flat.limit:.{places}f}",
                "flat" if flat.flat else "**GREW**",
            )
        )
    return table


def trouble(result: Result) -> str:
    """Return what was wrong, a line each; empty where nothing was."""
    lines = [*result.failures, *(f"{n} times {what}" for what, n in result.wrong_answers.items())]
    for chapter in result.chapters:
        if chapter.failure is not None:
            lines.append(f"{chapter.name}: {chapter.failure}")
        lines += (f"{chapter.name}: {example}" for example in chapter.examples)
    lines += (f"{flat.name} grew" for flat in result.flats if not flat.flat)
    return "\n".join(f"- {line}" for line in lines)


def as_json(result: Result, *, machine: Mapping[str, str]) -> str:
    chapters = [vars(chapter) | {"passed": chapter.passed} for chapter in result.chapters]
    flats = [dataclasses.asdict(flat) | {"flat": flat.flat} for flat in result.flats]
    document = vars(result) | {
        "plan": dataclasses.asdict(result.plan),
        "machine": dict(machine),
        "chapters": chapters,
        "flats": flats,
        "passed": result.passed,
    }
    return json.dumps(document, indent=1)


def draw(result: Result, path: Path) -> bool:
    """Draw the memory of what lived all the time; False where matplotlib is not there."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "attune", "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name in ("web0", "worker0", "redis"):
        points = result.series.get(f"{name} PSS {MIB}", [])
        axes.plot([at / 60 for at, _ in points], [value for _, value in points], label=name)
    axes.set(xlabel="minutes", ylabel=f"PSS, {MIB}", ylim=(0, None))
    axes.grid(True, alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return True
