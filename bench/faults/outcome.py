"""What one scenario showed: the figures of its row in the table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What one scenario showed."""

    name: str
    what: str
    seed: int
    server: str = ""
    reason_not_run: str | None = None
    failure: str | None = None  # the trial itself broke off, or something beside the zeros
    counts: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    changes: int = 0
    maybe: int = 0
    events: int = 0
    deliveries: int = 0
    recovery: list[float] = field(default_factory=list)
    worst_delay: float = 0.0
    slowest_write: float = 0.0
    growth_mib: float = 0.0
    connects: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    closes: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    writer_errors: Counter[str] = field(default_factory=Counter)
    disconnects: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    # Of each partition: changes during it, the worst delay of one of them, when all had one again.
    cuts: list[tuple[str, int, float, float]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not (self.reason_not_run or self.failure or any(self.counts.values()))
