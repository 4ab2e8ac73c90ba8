"""How a probe says what a process depends on, and whether it is there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

OK = "ok"
# A worker announces the position every second; three missed ones are a trouble.
WORKER_SILENCE_SECONDS = 3.5


@dataclass(frozen=True, slots=True)
class Check:
    """`ok`, or what is wrong; and how long ago it was last well: None for never yet."""

    state: str
    age_seconds: float | None

    @classmethod
    def of(cls, state: str, well_at: float) -> Check:
        """`well_at` in time.monotonic(), 0 for never."""
        return cls(state, round(time.monotonic() - well_at, 3) if well_at else None)


@dataclass(frozen=True, slots=True)
class Report:
    """A check for each thing that the process depends on."""

    checks: dict[str, Check]

    @property
    def ready(self) -> bool:
        return all(check.state == OK for check in self.checks.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "status": OK if self.ready else "unavailable",
            "checks": {
                name: {"state": check.state, "age_seconds": check.age_seconds}
                for name, check in self.checks.items()
            },
        }
