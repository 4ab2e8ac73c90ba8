"""The plain forms of `manage.py watch`: a line for each change. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator

from streaming.client import Event, Message, Reset, Snapshot, Waiting
from streaming.console.screen import printable, run_time


def events(message: Message) -> Iterator[Event]:
    """Yield what a message tells of executions, oldest first."""
    if isinstance(message, Event):
        yield message
    elif isinstance(message, Snapshot):
        yield from reversed(message.events)


def json_line(event: Event) -> str:
    """Return the event as the stream sent it."""
    return json.dumps(event.raw, separators=(",", ":"))


def text_line(event: Event) -> str:
    """Return the change for people: `2026-01-19 05:02:14  #7 demo.run  requested -> running`."""
    row = event.execution
    step = row.status
    if event.op == "SNAPSHOT":
        step = f"is {row.status}"
    elif event.op == "DELETE":
        step = f"{row.status}, deleted"
    elif event.old_status not in (None, row.status):
        step = f"{event.old_status} -> {row.status}"
    took = f" after {run_time(row, row.updated)}" if row.ended and row.started else ""
    at = event.timestamp.astimezone()
    return f"{at:%Y-%m-%d %H:%M:%S}  #{row.id} {printable(row.action_ref)}  {step}{took}"


def remark(message: Message) -> str | None:
    """Return what is to be said beside the events; None where that is nothing."""
    if isinstance(message, Waiting):
        return f"{printable(message.reason)}; trying again"
    if isinstance(message, Reset):
        return f"changes were missed ({message.reason}); this is the state now"
    if isinstance(message, Snapshot) and not message.complete:
        return "there are more executions than the server puts into a snapshot"
    return None
