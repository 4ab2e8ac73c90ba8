"""The figures of the database, read when somebody asks for the metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from executions.eventlog import Event
from executions.figures import Figures
from streaming import metrics
from streaming.replay import UNAVAILABLE, LogUnavailable

logger = logging.getLogger("attune.metrics")

# However many ask: not more often, and none of them waits for longer.
FRESH_SECONDS = 1.0
TIMEOUT_SECONDS = 3.0


class DatabaseGauges:
    """Sets the gauges of the database, and knows by it how far its clock is ahead of ours."""

    def __init__(self, read: Callable[[], Awaitable[Figures]]) -> None:
        self._read = read
        self._reading = asyncio.Lock()
        self._read_at = -FRESH_SECONDS
        self._clock_ahead = 0.0

    def lag(self, event: Event) -> float:
        """Return the seconds since the change, by the clock of the database as last seen."""
        return max(0.0, time.time() + self._clock_ahead - event.changed)

    async def refresh(self) -> None:
        """Bring the gauges up to date; where the database does not answer, one of them says so."""
        async with self._reading:
            if time.monotonic() < self._read_at + FRESH_SECONDS:
                return
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    self._show(await self._read())
            except (LogUnavailable, *UNAVAILABLE, OSError, TimeoutError) as exc:
                logger.warning("action=figures state=failed error=%r", " ".join(str(exc).split()))
                metrics.DATABASE_UP.set(0)
            self._read_at = time.monotonic()

    def _show(self, figures: Figures) -> None:
        self._clock_ahead = figures.clock_ahead
        for gauge, value in (
            (metrics.DATABASE_UP, 1),
            (metrics.INBOX, figures.inbox),
            (metrics.INBOX_AGE, figures.inbox_age_seconds),
            (metrics.QUEUE, figures.notify_queue),
            (metrics.POSITION, figures.last_seq),
            (metrics.LOG_EVENTS, figures.log_events),
            (metrics.LOG_BYTES, figures.log_bytes),
            (metrics.WORKERS, figures.workers),
            (metrics.CONNECTIONS, figures.connections),
            (metrics.CONNECTION_LIMIT, figures.connection_limit),
            (metrics.SKEW, figures.clock_ahead),
        ):
            gauge.set(value)
