"""When a worker waits for a NOTIFY, and when it polls so that writers need not send one.

A commit that notifies waits for every other that does, across the write to disk, so all
writers together get no faster than one. With `ATTUNE_NOTIFY=adaptive` they leave it out while
a worker polls. The locks by which they agree, and why no commit goes unnoticed in between,
are in `executions/sql/0006_writer.sql`. With `always` nothing is left out, and a worker that
polls does not look at what it is notified of.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Literal

from executions import eventlog
from executions.eventlog import Connection

logger = logging.getLogger("attune.worker")

# Each look costs the writers a share of processor and disk: of what a commit takes with 10 ms,
# 25 ms save a tenth.
POLL_SECONDS = 0.025
WINDOW_SECONDS = 0.1  # over which events are counted
# A worker that relies on another makes sure so often that it still does its part.
RELY_SECONDS = 1.0


class Polling:
    """What one connection of a worker does between two looks at the inbox.

    It begins by polling, rests after a window of fewer events than half of
    `events_per_second`, and polls again after one of more than all of them.
    """

    def __init__(self, conn: Connection, *, events_per_second: float) -> None:
        self._conn = conn
        self._many = events_per_second * WINDOW_SECONDS
        self._seen = 0
        self._window_ends = 0.0  # in time.monotonic(), as the other one
        self._relies_until = 0.0
        self._polls = True
        self._told = False  # the other workers, that we poll
        self._notified: Literal["self", "other"] | None = None  # while we rest

    @property
    def seconds(self) -> float | None:
        """How long to wait for a NOTIFY before the next look; None while resting."""
        return POLL_SECONDS if self._polls else None

    @property
    def longest_rest(self) -> float:
        """After how many seconds to look though nobody notifies: the other worker may be gone."""
        return RELY_SECONDS if self._notified == "other" else math.inf

    async def looked(self, events: int) -> bool:
        """Count what a look found; True where another one has to follow at once.

        Raises psycopg.Error.
        """
        self._seen += events
        now = time.monotonic()
        many, few = self._seen >= self._many, self._seen < self._many / 2
        over = now >= self._window_ends
        if over or many:
            self._window_ends, self._seen = now + WINDOW_SECONDS, 0
        if self._polls:
            return over and few and await self._rest()
        if many:
            await self._poll()
        elif self._notified == "other" and now >= self._relies_until:
            return await self._rest()
        return False

    async def _rest(self) -> bool:
        by = await eventlog.await_notify(self._conn)
        if by is None:
            if not self._polls:
                await self._poll()
            return False
        if self._told:
            await eventlog.say_no_longer_polling(self._conn)
            self._told = False
        if self._polls:
            logger.debug("action=rest notified=%s", by)
        self._polls, self._notified = False, by
        self._relies_until = time.monotonic() + RELY_SECONDS
        return True

    async def _poll(self) -> None:
        # In this order: the others always see one of the two.
        self._told = await eventlog.say_polling(self._conn)
        if self._notified == "self":
            await eventlog.let_writers_be_silent(self._conn)
        self._polls, self._notified = True, None
        logger.debug("action=poll")
