"""The one definition of an execution's statuses and of the steps between them.

The database keeps its own copy inside a trigger, because a writer in plain SQL never runs
this module; `tests/integration/test_triggers.py` holds the two against each other.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """A status as stored in `execution.status`, in the order a run passes through them."""

    REQUESTED = "requested"
    SCHEDULING = "scheduling"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELING = "canceling"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    ABANDONED = "abandoned"


STATUSES: tuple[str, ...] = tuple(Status)
TERMINAL: frozenset[str] = frozenset(
    {Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.TIMEOUT, Status.ABANDONED}
)

_ENDS = {Status.FAILED, Status.TIMEOUT, Status.ABANDONED}
_TRANSITIONS: dict[str, frozenset[str]] = {
    Status.REQUESTED: frozenset(
        {Status.SCHEDULING, Status.SCHEDULED, Status.RUNNING, Status.CANCELING, Status.CANCELLED}
        | _ENDS
    ),
    Status.SCHEDULING: frozenset(
        {Status.SCHEDULED, Status.RUNNING, Status.CANCELING, Status.CANCELLED} | _ENDS
    ),
    Status.SCHEDULED: frozenset(
        {Status.RUNNING, Status.CANCELING, Status.CANCELLED} | _ENDS,
    ),
    Status.RUNNING: frozenset({Status.COMPLETED, Status.CANCELING, Status.CANCELLED} | _ENDS),
    # A run that ends by itself while it is being cancelled keeps its own ending.
    Status.CANCELING: frozenset({Status.CANCELLED, Status.COMPLETED} | _ENDS),
}


def allowed_from(status: str) -> tuple[str, ...]:
    """Return the statuses that may follow `status`, in display order; none after an end.

    Only the API asks: plain SQL may make any step, and each step is an event all the same.
    """
    follow = _TRANSITIONS.get(status, frozenset())
    return tuple(s for s in STATUSES if s in follow)


def cancel_step(status: str) -> str | None:
    """Return the status by which an execution is cancelled; None where it is over.

    What nobody has begun with is cancelled at once; else whoever runs it has to end it first.
    """
    if status in (Status.REQUESTED, Status.CANCELLED):
        return Status.CANCELLED
    return None if status in TERMINAL else Status.CANCELING
