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

    def __init__(self, statuses: dict[int, str], *, changed: set[int]) -> None:
        """`changed`: events of these are still to be sent, whatever their status is now.

        Also of what is not there any more: deleted, or moved away.
        """
        self.statuses = dict(statuses)
        self.stale_at = math.inf
        self._open = {id for id, status in statuses.items() if status not in TERMINAL} | changed

    @property
    def done(self) -> bool:
        return not self._open and self.stale_at == math.inf

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
