"""Counts what a hub writes in plain numbers, and hands them on once a round of writes."""

from __future__ import annotations

import time
from collections.abc import Sequence

from attune.limits import Limits
from executions.eventlog import Event
from streaming import metrics
from streaming.feed import Ring
from streaming.gauges import DatabaseGauges


class Meter:
    """`bytes` is added to by whoever writes to a client; the rest once an event or a round."""

    def __init__(self, gauges: DatabaseGauges) -> None:
        self.bytes = 0
        self._gauges = gauges
        self._began = time.monotonic()
        self._oldest: Event | None = None  # that has come since the last round

    def arrived(self, events: Sequence[Event], *, wanted: bool) -> None:
        """`wanted`: there will be a round of writes for some of them."""
        metrics.EVENTS_IN.inc(len(events))
        if wanted:
            self._oldest = self._oldest or events[0]

    def begin(self) -> Event | None:
        """Called before a round of writes; return the oldest event that it is about."""
        oldest, self._oldest = self._oldest, None
        return oldest

    def written(self, events: int, oldest: Event | None) -> None:
        """Called after a round of writes, in which the streams took so many events."""
        metrics.EVENTS_OUT.inc(events)
        if events and oldest is not None:
            metrics.TO_SOCKET.observe(self._gauges.lag(oldest))

    def look(self, ring: Ring, limits: Limits, *, heard: float) -> None:
        """Called by the clock; `heard` a worker then, 0 for never yet, in time.monotonic()."""
        written, self.bytes = self.bytes, 0
        metrics.BYTES_OUT.inc(written)
        metrics.RING_EVENTS.set(len(ring))
        metrics.RING_BYTES.set(ring.bytes)
        metrics.RING_FILL.set(max(len(ring) / limits.ring_events, ring.bytes / limits.ring_bytes))
        metrics.SILENCE.set(time.monotonic() - (heard or self._began))
