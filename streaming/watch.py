"""What a stream with `until=terminal` waits for. Pure."""

from __future__ import annotations

import math

from executions.eventlog import Event
from executions.status import TERMINAL

# How long after a move in a tree it is looked up anew; several that come together are one.
MOVED_SECONDS = 0.5


class Watch:
    """The executions of a stream that the client has not been told the end of.

    From `stale_at` on, in time.monotonic(), they have to be looked up again: something has come
    or gone together with what it is below, without an event of its own.
    """

    def __init__(self, statuses: dict[int, str], *, ahead: set[int], upto: int) -> None:
        """`ahead`: the last changes of these are not in the log yet.

        `upto`: where the log ended then. Before its client is there, it may still have to be told
        of what is not there any more.
        """
        self.statuses = dict(statuses)
        self.stale_at = math.inf
        self.upto = upto
        self._open = {id for id, status in statuses.items() if status not in TERMINAL} | ahead

    @property
    def done(self) -> bool:
        return not self._open and self.stale_at == math.inf

    def is_over(self, seq: int) -> bool:
        """Whether there is nothing left to tell a client that has had every event up to `seq`."""
        return self.done and seq >= self.upto

    def see(self, event: Event, now: float) -> None:
        """Take note of an event that the client is sent; of one without a body, that it is not."""
        if event.is_move:  # out of what is watched, perhaps
            self.stale_at = min(self.stale_at, now + MOVED_SECONDS)
        if not event.body:
            return
        self.statuses[event.execution] = event.status
        if event.status in TERMINAL or event.op == "DELETE":
            self._open.discard(event.execution)
        else:
            self._open.add(event.execution)
