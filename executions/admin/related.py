"""The tables below an execution: its children and its part of the log, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from executions.admin.formatting import badge, moment, run_time
from executions.admin.readonly import execution_link, list_url
from executions.models import Execution, ExecutionEvent

MAX_CHILDREN = 50
MAX_EVENTS = 100

Cell = str | int


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` are at most the newest so many; `url` lists them all."""

    heading: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    is_cut: bool
    url: str


def children(visible: QuerySet[Execution], execution: Execution, *, now: datetime) -> Table:
    found = list(visible.filter(parent=execution.pk).order_by("-id")[: MAX_CHILDREN + 1])
    return Table(
        heading="Children",
        columns=("Execution", "Status", "Action", "Created", "Run time"),
        rows=[
            (
                execution_link(child.pk),
                badge(child.status),
                child.action_ref,
                moment(child.created),
                run_time(child.status, started=child.started, finished=child.finished, now=now),
            )
            for child in found[:MAX_CHILDREN]
        ],
        is_cut=len(found) > MAX_CHILDREN,
        url=list_url("execution", parent=execution.pk),
    )


def events(visible: QuerySet[ExecutionEvent], execution: Execution) -> Table:
    found = list(visible.filter(execution=execution.pk).order_by("-seq")[: MAX_EVENTS + 1])
    return Table(
        heading="Events",
        columns=("Seq", "Version", "Operation", "Status", "Recorded"),
        rows=[
            (
                event_link(event.seq),
                event.version,
                event.op,
                status_step(event),
                moment(event.recorded),
            )
            for event in found[:MAX_EVENTS]
        ],
        is_cut=len(found) > MAX_EVENTS,
        url=list_url("executionevent", execution=execution.pk),
    )


def event_link(seq: int) -> SafeString:
    url = reverse("admin:executions_executionevent_change", args=[seq])
    return format_html('<a href="{}">{}</a>', url, seq)


def status_step(event: ExecutionEvent) -> SafeString:
    """Return the status after the event, with the one before it where that was another."""
    if event.old_status in (None, event.status):
        return badge(event.status)
    return format_html("{} → {}", badge(event.old_status), badge(event.status))
