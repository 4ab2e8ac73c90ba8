"""Events by which an execution gets another action_ref or parent: what is told of them. Pure.

Such an event has two sides, what was and what is, and somebody may be allowed to see only one of
them. The log's `event` text has what is; the rest is added here, for who may know it.
"""

from __future__ import annotations

import json
from typing import Any

from executions.eventlog import Event

_RESULT, _AFTER_RESULT = ',"result":', ',"created":"'  # as attune.change_json_v1 writes them


def before(event: Event) -> Event:
    """Return the execution as it was."""
    status, ref = event.old_status or event.status, event.old_action_ref or event.action_ref
    if event.old_ancestors is None:
        return _side(event, status, ref, event.parent, event.ancestors)
    return _side(event, status, ref, event.old_parent, event.old_ancestors)


def after(event: Event) -> Event:
    """Return the execution as it is, without a word of what was."""
    return _side(event, event.status, event.action_ref, event.parent, event.ancestors)


def _side(
    event: Event, status: str, action_ref: str, parent: int | None, ancestors: list[int] | None
) -> Event:
    # Not _replace, which takes thrice as long: each filter looks at both sides.
    seq, execution, version, op = event[:4]
    return Event(
        seq, execution, version, op, status, None, action_ref, parent, ancestors, event.body
    )


def told(event: Event, before_visible: bool, after_visible: bool) -> Event:
    """Return the event with the text for somebody who may see these sides of it.

    Who sees neither is told nothing: the text is empty.
    """
    if before_visible and after_visible:
        return event._replace(body=_with_old_values(event, event.body))
    if after_visible:
        return _arrived(event)
    if before_visible:
        return _gone(event)
    return event._replace(body="")


def _arrived(event: Event) -> Event:
    """It came into sight: there is nothing before."""
    body = event.body.replace(f'"old_status":"{event.old_status}"', '"old_status":null', 1)
    arrived = event._replace(old_status=None, old_action_ref=None, old_parent=None)
    return arrived._replace(body=_with_old_values(arrived, body))


def _gone(event: Event) -> Event:
    """It went out of sight: a DELETE of what was, as far as that is known here."""
    whole = json.loads(_without_result(event.body))
    was = before(event)
    data: dict[str, Any] = dict.fromkeys(whole["data"])
    data |= {
        "id": was.execution,
        "status": was.status,
        "action_ref": was.action_ref,
        "parent": was.parent,
        "created": whole["data"]["created"],
        "updated": whole["timestamp"],
    }
    whole.pop("truncated", None)
    whole |= {"op": "DELETE", "old_status": was.status, "data": data}
    return was._replace(
        op="DELETE",
        old_status=was.status,
        old_ancestors=event.old_ancestors,
        body=json.dumps(whole, ensure_ascii=False, separators=(",", ":")),
    )


def _without_result(body: str) -> str:
    """Return a body with null for its result, which may be what no parser here takes.

    A text has its quotes escaped, so the first such key is the event's own; what follows the result
    has no text of a user's.
    """
    begin = body.index(_RESULT) + len(_RESULT)
    return f"{body[:begin]}null{body[body.rindex(_AFTER_RESULT) :]}"


def _with_old_values(event: Event, body: str) -> str:
    old = ""
    if event.old_action_ref is not None:
        old += f',"old_action_ref":{json.dumps(event.old_action_ref, ensure_ascii=False)}'
    if event.old_ancestors is not None:
        old += f',"old_parent":{json.dumps(event.old_parent)}'
    return f"{body[:-1]}{old}}}"
