"""Latencies as counts in log-linear buckets of microseconds. Pure.

The same buckets as in `bench/client/stream.c`: exact below 256 µs, then 128 for each doubling,
so a figure is at most 0.8 % off. A percentile is the upper end of its bucket: never flattering.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

MANTISSA_BITS = 7


def bucket_of(microseconds: int) -> int:
    """Return the number of the bucket that counts this value."""
    shift = max(0, microseconds.bit_length() - MANTISSA_BITS - 1)
    return (shift << MANTISSA_BITS) + (microseconds >> shift)


def upper_end(bucket: int) -> int:
    """Return the largest value, in microseconds, that the bucket counts."""
    shift = max(0, (bucket >> MANTISSA_BITS) - 1)
    return ((bucket - (shift << MANTISSA_BITS) + 1) << shift) - 1


class Histogram:
    """Counts by bucket; add others to it."""

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._counts: Counter[int] = Counter(dict(pairs))

    @property
    def total(self) -> int:
        return self._counts.total()

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return sorted(self._counts.items())

    def add(self, other: Histogram) -> None:
        self._counts.update(other._counts)

    def percentile_ms(self, share: float) -> float:
        """Return the latency, in ms, that `share` of the values do not exceed; nan if empty."""
        rank = max(1, math.ceil(share * self.total))
        seen = 0
        for bucket, count in self.pairs:
            seen += count
            if seen >= rank:
                return upper_end(bucket) / 1000
        return math.nan
