"""What `manage.py watch` knows at a moment: the executions, and whether the server is heard. Pure.

The colours, the terminal and the clock are elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from executions import eventlog
from executions.filters import Filter
from streaming.client import Connected, End, Event, Execution, Message, Reset, Snapshot, Waiting

# Of a watch that has no end: what is over goes first, oldest first.
MAX_ROWS = 500

COMPLETED, FAILED, CANCELLED = 0, 1, 3  # the exit statuses of docs/clients.md


class Board:
    """The executions that a watch is about, as far as it has been told.

    `until_end`: it ends by itself, so that all are kept; else at most MAX_ROWS. A row that leaves
    the `filter` goes; of `root`, which rows do not show, a new snapshot tells.
    """

    def __init__(self, *, until_end: bool, filter: Filter) -> None:
        self.rows: dict[int, Execution] = {}
        self.is_cut = False
        self.last: dict[int, str] = {}  # status of each, those deleted included
        self.waiting: Waiting | None = None
        self.waiting_since: datetime | None = None
        self.connected = False
        self._until_end = until_end
        self._filter = replace(filter, roots=frozenset())

    def take(self, message: Message, now: datetime) -> None:
        """Take note of a message that came at `now`."""
        if isinstance(message, Waiting):
            self.waiting_since = self.waiting_since or now
            self.waiting, self.connected = message, False
            return
        self.waiting = self.waiting_since = None
        if isinstance(message, Connected):
            self.connected = True
        elif isinstance(message, Snapshot):
            self.rows.clear()
            self.is_cut = not message.complete
            for event in reversed(message.events):
                self._set(event)
        elif isinstance(message, Event):
            self._set(message)
        elif isinstance(message, End):
            self.last.update(message.statuses)
        else:
            assert isinstance(message, Reset)  # the snapshot follows

    def seen_at(self, now: datetime) -> datetime:
        """Return up to when it is known what runs: now, or when the server was lost."""
        return self.waiting_since or now

    def _set(self, event: Event) -> None:
        execution = event.execution
        if event.op == "DELETE" or not self._filter.matches(_as_logged(event)):
            self.rows.pop(execution.id, None)
        else:
            self.rows[execution.id] = execution
        if self._until_end:
            self.last[execution.id] = execution.status
        elif len(self.rows) > MAX_ROWS:
            over = (key for key, row in self.rows.items() if row.ended)
            del self.rows[next(over, next(iter(self.rows)))]
            self.is_cut = True


def _as_logged(event: Event) -> eventlog.Event:
    """Return the execution as a filter looks at it."""
    row = event.execution
    return eventlog.Event(
        *(0, row.id, event.version, event.op, row.status, None, row.action_ref, row.parent),
        ancestors=None,
        body="",
    )


def exit_status(statuses: Mapping[int, str], asked: Collection[int]) -> int:
    """Return what the ends of the `asked` executions mean to a shell.

    The worst counts. One that was deleted before its end counts as failed.
    """
    ends = {statuses.get(execution, "deleted") for execution in asked}
    if ends <= {"completed"}:
        return COMPLETED
    return CANCELLED if ends <= {"completed", "cancelled"} else FAILED
