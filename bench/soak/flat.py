"""Whether a figure stayed flat: the rule, and nothing else. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

MIB = "MiB"  # the end of the name of every figure that is memory
# In a shorter run a process is still loading code, and filling its caches and pools.
WARM_SECONDS = 600.0
MEMORY_MIB, MEMORY_MIB_WHILE_WARMING = 4.0, 24.0
MEMORY_SHARE = 0.05
COUNT, COUNT_WHILE_WARMING = 2.0, 8.0  # descriptors, threads, tasks, connections


@dataclass(frozen=True, slots=True)
class Flat:
    """One figure of one process: its medians in the second and the last quarter of the run."""

    name: str
    second: float
    last: float
    highest: float
    slope_per_hour: float
    limit: float

    @property
    def flat(self) -> bool:
        return self.last - self.second <= self.limit


def judge(name: str, points: Sequence[tuple[float, float]]) -> Flat:
    """Hold the last quarter's median against the second one's; the first is for warming up.

    `points` are (seconds, value), by time, at least eight. The slope is that of the least
    squares over all but the first quarter.
    """
    quarter = len(points) // 4
    later = points[quarter:]
    second = statistics.median(value for _, value in points[quarter : 2 * quarter])
    last = statistics.median(value for _, value in points[-quarter:])
    slope, _ = statistics.linear_regression(*zip(*later, strict=True))
    seconds = points[-1][0] - points[0][0]
    highest = max(value for _, value in points)
    return Flat(name, second, last, highest, slope * 3600, _limit(name, second, seconds))


def _limit(name: str, before: float, seconds: float) -> float:
    warm = seconds >= WARM_SECONDS
    if not name.endswith(MIB):
        return COUNT if warm else COUNT_WHILE_WARMING
    return max(MEMORY_MIB if warm else MEMORY_MIB_WHILE_WARMING, MEMORY_SHARE * before)
