"""What a stream with `until=terminal` waits for. Pure."""

from __future__ import annotations

from executions.eventlog import Event
from executions.status import TERMINAL


class Watch:
    """The executions of a stream that the client has not been told the end of."""

    def __init__(self, statuses: dict[int, str], *, changed: set[int]) -> None:
        """`changed`: events of these are still to be sent, whatever their status is now."""
        self.statuses = dict(statuses)
        self._open = {
            execution
            for execution, status in statuses.items()
            if status not in TERMINAL or execution in changed
        }

    @property
    def done(self) -> bool:
        return not self._open

    def see(self, event: Event) -> None:
        """Take note of an event that the client is sent."""
        self.statuses[event.execution] = event.status
        if event.status in TERMINAL or event.op == "DELETE":
            self._open.discard(event.execution)
        else:
            self._open.add(event.execution)
