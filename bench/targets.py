"""What was promised, held against what was measured. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """`figure` is at most (or, with `at_least`, not below) `bound`."""

    scenario: str
    text: str
    figure: str
    bound: float
    unit: str = ""
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    target: Target
    value: float | None

    @property
    def word(self) -> str:
        if self.value is None or math.isnan(self.value):
            return "not measured"
        target = self.target
        met = self.value >= target.bound if target.at_least else self.value <= target.bound
        return "PASS" if met else "**MISS**"


def _stream_targets() -> list[Target]:
    return [
        Target("fanout", "nothing lost", "fanout.lost", 0, "events"),
        Target("fanout", "p99, from when the change was due", "fanout.p99_ms", 50, "ms"),
        Target("fanout", "CPU a delivery / nchan's", "fanout.cpu_to_nchan", 0.6, "×"),
        Target("saturation", "nothing lost", "saturation.lost", 0, "events"),
        Target("saturation", "p99 at the best sustained rate", "saturation.p99_ms", 250, "ms"),
        *(
            Target("saturation", f"{what} / {peer}'s", f"saturation.{figure}", bound, "×", True)
            for peer, bound, key in (
                ("nchan", 6, "nchan"),
                ("django-eventstream", 20, "eventstream"),
            )
            for what, figure in (
                ("sustained deliveries/s", f"to_{key}"),
                ("peak", f"peak_to_{key}"),
            )
        ),
        Target("saturation", "normal again after", "saturation.recovery_seconds", 5, "s"),
        Target("selective", "cost of an event, 5,000 clients / 100", "selective.ratio", 1.1, "×"),
        Target("selective", "nothing lost", "selective.lost", 0, "events"),
        Target("filters", "evaluations of an event, 20 filters", "filters.evaluations", 20, ""),
        Target("idle", "memory of a connection", "idle.kib", 25, "KiB"),
        Target("idle", "threads beside those without streams", "idle.more_threads", 10, ""),
        Target("idle", "CPU for heartbeats", "idle.cpu_share", 0.02, "of a core"),
        Target("storm", "all live again within", "storm.seconds", 15, "s"),
        Target("storm", "queries of the log", "storm.queries", 20, ""),
        Target("storm", "resets", "storm.resets", 0, ""),
        Target("storm", "healthy clients' p99 meanwhile", "storm.healthy_p99_ms", 500, "ms"),
    ]


TARGETS = [
    *_stream_targets(),
    Target(
        "twoweb",
        "cost of a delivery, two of 500 clients / one",
        "twoweb.ratio",
        1.05,
        "×",
    ),
    Target("latency", "p50 / bare LISTEN's", "latency.p50_ratio", 2.5, "×"),
    Target("latency", "p99 / bare LISTEN's", "latency.p99_ratio", 3, "×"),
    Target("writer", "1 writer, with triggers / without", "writer.one", 0.80, "×", True),
    Target("writer", "16 writers, with triggers / without", "writer.sixteen", 0.50, "×", True),
    Target("writer", "bulk UPDATE, with triggers / without", "writer.bulk", 4, "×"),
    Target("writer", "adaptive: 1 writer", "writer.one@adaptive", 0.80, "×", True),
    Target("writer", "adaptive: 16 writers", "writer.sixteen@adaptive", 0.50, "×", True),
    Target("writer", "adaptive: bulk UPDATE", "writer.bulk@adaptive", 4, "×"),
    Target("sequencer", "sustained", "sequencer.sustained", 20_000, "events/s", True),
    Target("sequencer", "1,000,000 drained in", "sequencer.drain_seconds", 60, "s"),
    Target("sequencer", "worker's memory grew by", "sequencer.growth_mib", 20, "MiB"),
    # The server that must work, too: nothing lost, memory bounded.
    Target("fanout", "daphne: nothing lost", "fanout.lost@daphne", 0, "events"),
    Target("saturation", "daphne: nothing lost", "saturation.lost@daphne", 0, "events"),
    Target("selective", "daphne: nothing lost", "selective.lost@daphne", 0, "events"),
    Target("storm", "daphne: resets", "storm.resets@daphne", 0, ""),
]


def judge(figures: Mapping[str, float]) -> list[Verdict]:
    return [Verdict(target, figures.get(target.figure)) for target in TARGETS]
