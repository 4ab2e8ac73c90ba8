"""Making and changing executions on behalf of an API client, inside the caller's transaction."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from rest_framework.exceptions import NotFound, ValidationError

from executions import schemas, visibility
from executions.api.errors import TransitionNotAllowed, VersionConflict
from executions.api.jsontext import as_text
from executions.models import Execution
from executions.status import allowed_from, cancel_step


def create(user: User, *, action_ref: str, config: Any = None, parent: int | None = None) -> int:
    """Request a run; return its id.

    Raises ValidationError where action or parent is unknown or invisible (the same answer), or
    `config` is not what the action takes.
    """
    actions = as_text(visibility.visible_actions(user), "param_schema", "out_schema")
    action: Any = actions.filter(ref=action_ref).first()
    if action is None:
        raise ValidationError({"action_ref": [f'No action has the ref "{action_ref}".']})
    if parent is not None and not visibility.visible_executions(user).filter(pk=parent).exists():
        raise ValidationError({"parent": [f"No execution has the id {parent}."]})
    if action.param_schema_text is not None:
        wrong = schemas.problems(action.param_schema_text, {} if config is None else config)
        if wrong:
            raise ValidationError({"config": wrong})
    execution = Execution.objects.create(
        action=action, action_ref=action.ref, config=config, parent_id=parent, executor=user
    )
    return int(execution.pk)


def change(user: User, pk: int, changes: dict[str, Any], *, version: int | None) -> None:
    """Set status, result or both.

    Raises NotFound, VersionConflict, or TransitionNotAllowed: what is over stays as it is.
    """
    execution = _locked(user, pk, version)
    allowed = allowed_from(execution.status)
    if execution.is_terminal:
        # Said again, as after an answer that got lost, it is no change and no mistake.
        if not _is_so(pk, changes):
            raise TransitionNotAllowed(execution.status, allowed)
    elif changes.get("status", execution.status) not in (execution.status, *allowed):
        raise TransitionNotAllowed(execution.status, allowed)
    else:
        _save(execution, changes)


def cancel(user: User, pk: int, *, version: int | None = None) -> None:
    """Ask for an end; nothing to do where somebody has already. Raises like `change`."""
    execution = _locked(user, pk, version)
    step = cancel_step(execution.status)
    if step is None:
        raise TransitionNotAllowed(execution.status, ())
    _save(execution, {"status": step})


def _locked(user: User, pk: int, version: int | None) -> Execution:
    visible = visibility.visible_executions(user).defer("config", "result")
    execution = visible.select_for_update(of=("self",)).filter(pk=pk).first()
    if execution is None:
        raise NotFound
    if version is not None and version != execution.version:
        raise VersionConflict(execution.version, version)
    return execution


def _save(execution: Execution, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(execution, name, value)
    execution.save(update_fields=sorted(changes))  # the database drops what changes nothing


def _is_so(pk: int, changes: dict[str, Any]) -> bool:
    """Ask the database, which compares any JSON: in Python, 1 equals true."""
    wanted = {f"{k}__isnull" if v is None else k: v is None or v for k, v in changes.items()}
    return Execution.objects.filter(pk=pk, **wanted).exists()
