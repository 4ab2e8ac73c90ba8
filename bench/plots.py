"""The plots of docs/benchmarks.md, as SVG. Without matplotlib there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.histogram import upper_end
from bench.outcome import Outcome

Axes = Any  # matplotlib has no types of its own that say more
Points = Sequence[Mapping[str, float]]


def draw(outcomes: Mapping[str, Outcome], folder: Path) -> list[tuple[str, Path]]:
    """Return title and file of each plot that could be drawn."""
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("svg")
    # The same results give the same bytes.
    matplotlib.rcParams.update({"svg.hashsalt": "attune", "svg.fonttype": "none"})
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    fanout = outcomes.get("fanout")
    if fanout is not None:
        path = folder / "latency.svg"
        _plot(path, partial(_latency, data=fanout.data))
        drawn.append(("Latency of fan-out: share of deliveries within so many ms", path))
    sweep = outcomes.get("sweep")
    if sweep is not None and sweep.data:
        for key, title, label in (
            ("deliveries_per_second", "Throughput against clients", "deliveries/s"),
            ("memory_mib", "Memory against clients", "MiB"),
        ):
            path = folder / f"{key.partition('_')[0]}.svg"
            _plot(path, partial(_lines, data=sweep.data, key=key, label=label))
            drawn.append((title, path))
    return drawn


def _plot(path: Path, fill: Callable[[Axes], None]) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    fill(axes)
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _latency(axes: Axes, data: Mapping[str, Any]) -> None:
    for name, pairs in data.items():
        if name.startswith("latency "):
            milliseconds, shares = cumulative(pairs)
            axes.plot(milliseconds, shares, label=name.removeprefix("latency "))
    axes.set(xscale="log", xlabel="ms", ylabel="share of deliveries", ylim=(0, 1.01))


def _lines(axes: Axes, data: Mapping[str, Points], key: str, label: str) -> None:
    for name, points in data.items():
        axes.plot([p["clients"] for p in points], [p[key] for p in points], "o-", label=name)
    axes.set(xscale="log", yscale="log", xlabel="clients", ylabel=label)


def cumulative(pairs: Sequence[tuple[int, int]]) -> tuple[list[float], list[float]]:
    """Return upper ends, in ms, and the share of values up to each. Pure."""
    total, seen = sum(count for _, count in pairs), 0
    ends, shares = [], []
    for bucket, count in pairs:
        seen += count
        ends.append(upper_end(bucket) / 1000)
        shares.append(seen / total)
    return ends, shares
