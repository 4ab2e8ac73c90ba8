"""Making and changing executions on behalf of an API client."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from rest_framework.exceptions import APIException, NotFound, ValidationError

from executions import visibility
from executions.models import Execution
from executions.status import allowed_from


class Conflict(APIException):
    status_code = 409
    default_code = "conflict"


def create(
    user: User, *, action_ref: str, config: Any = None, parent: int | None = None
) -> Execution:
    """Request a run; raises ValidationError where action or parent is unknown or invisible."""
    action = visibility.visible_actions(user).filter(ref=action_ref).first()
    if action is None:
        raise ValidationError({"action_ref": [f'No action has the ref "{action_ref}".']})
    if parent is not None and not visibility.visible_executions(user).filter(pk=parent).exists():
        raise ValidationError({"parent": [f"No execution has the id {parent}."]})
    execution = Execution.objects.create(
        action=action, action_ref=action.ref, config=config, parent_id=parent, executor=user
    )
    execution.refresh_from_db()
    return execution


@transaction.atomic
def change(user: User, pk: int, changes: dict[str, Any], *, version: int | None) -> Execution:
    """Set status, result or both; raises NotFound, or Conflict and says what stands now."""
    visible = visibility.visible_executions(user)
    execution = visible.select_for_update(of=("self",)).filter(pk=pk).first()
    if execution is None:
        raise NotFound
    if version is not None and version != execution.version:
        raise Conflict(f"The version is {execution.version}, not {version}; fetch it anew.")
    wanted = changes.get("status", execution.status)
    allowed = allowed_from(execution.status)
    if wanted != execution.status and wanted not in allowed:
        follow = f"only {', '.join(allowed)} may follow" if allowed else "that is final"
        raise Conflict(f'The status is "{execution.status}"; {follow}.')
    for name, value in changes.items():
        setattr(execution, name, value)
    execution.save(update_fields=sorted(changes))
    execution.refresh_from_db()
    return execution
