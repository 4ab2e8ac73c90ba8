"""Counts what a hub writes in plain numbers, and hands them on once a round of writes."""

from __future__ import annotations

from collections.abc import Sequence

from executions.eventlog import Event
from streaming import metrics
from streaming.gauges import DatabaseGauges


class Meter:
    """`bytes` is added to by whoever writes to a client; the rest once an event or a round."""

    def __init__(self, gauges: DatabaseGauges) -> None:
        self.bytes = 0
        self._gauges = gauges
        self._oldest: Event | None = None  # that has come since the last round

    def arrived(self, events: Sequence[Event]) -> None:
        metrics.EVENTS_IN.inc(len(events))
        self._oldest = self._oldest or events[0]

    def written(self, events: int) -> None:
        """Called after a round of writes, in which the streams took so many events."""
        oldest, self._oldest = self._oldest, None
        metrics.EVENTS_OUT.inc(events)
        if events and oldest is not None:
            metrics.TO_SOCKET.observe(self._gauges.lag(oldest))

    def hand_over(self) -> None:
        """Called by the clock."""
        written, self.bytes = self.bytes, 0
        metrics.BYTES_OUT.inc(written)
