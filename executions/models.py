"""Packs, actions, executions and the log, as the ORM sees them.

The database keeps the rules, because most writers never come through here: column defaults,
foreign-key actions, `version` and the time stamps are kept by it (see `executions/sql/`).
After a `save()`, call `refresh_from_db()` before you read those columns.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Func, Value
from django.db.models.functions import Now

from executions.status import TERMINAL, Status


class Pack(models.Model):
    """A named bundle of actions; the text before the first dot of an action's ref."""

    ref = models.TextField(unique=True)
    label = models.TextField(db_default="")
    description = models.TextField(db_default="", blank=True)
    version = models.TextField(db_default="", blank=True)
    conf_schema = models.JSONField(db_default={}, blank=True)
    config = models.JSONField(db_default={}, blank=True)
    meta = models.JSONField(db_default={}, blank=True)
    tags = ArrayField(models.TextField(), db_default=[], blank=True)
    is_standard = models.BooleanField(db_default=False)
    restricted = models.BooleanField(
        db_default=False,
        help_text="Only superusers and holders of the permission “view pack” see its executions.",
    )
    created = models.DateTimeField(db_default=Now(), editable=False)
    updated = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "pack"
        ordering = ["ref"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ref__regex=r"^[a-z][a-z0-9_-]*$"), name="pack_ref_valid"
            )
        ]

    def __str__(self) -> str:
        return self.ref


class Action(models.Model):
    """Something that can be run: `pack.name`, with the JSON schema of its parameters."""

    ref = models.TextField(unique=True)
    pack = models.ForeignKey(
        Pack, models.DO_NOTHING, db_column="pack", db_constraint=False, related_name="actions"
    )
    pack_ref = models.TextField(db_default="", blank=True)
    label = models.TextField(db_default="")
    description = models.TextField(db_default="", blank=True)
    entrypoint = models.TextField(db_default="", blank=True)
    param_schema = models.JSONField(null=True, blank=True)
    out_schema = models.JSONField(null=True, blank=True)
    created = models.DateTimeField(db_default=Now(), editable=False)
    updated = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "action"
        ordering = ["ref"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ref__regex=r"^[a-z][a-z0-9_-]*\.[A-Za-z0-9_.-]+$"),
                name="action_ref_valid",
            )
        ]

    def __str__(self) -> str:
        return self.ref


class Execution(models.Model):
    """One run of an action. `version` counts its committed changes, starting at 1."""

    STATUS_CHOICES = [(status.value, status.value) for status in Status]

    action = models.ForeignKey(
        Action,
        models.DO_NOTHING,
        db_column="action",
        db_constraint=False,
        null=True,
        blank=True,
        related_name="executions",
    )
    action_ref = models.TextField()
    config = models.JSONField(null=True, blank=True)
    parent = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        db_column="parent",
        db_constraint=False,
        null=True,
        blank=True,
        related_name="children",
    )
    enforcement = models.BigIntegerField(null=True, blank=True)
    executor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.DO_NOTHING,
        db_column="executor",
        db_constraint=False,
        null=True,
        blank=True,
        related_name="executions",
    )
    status = models.TextField(choices=STATUS_CHOICES, db_default=Status.REQUESTED.value)
    result = models.JSONField(null=True, blank=True)
    version = models.IntegerField(db_default=1, editable=False)
    created = models.DateTimeField(db_default=Now(), editable=False)
    updated = models.DateTimeField(db_default=Now(), editable=False)
    started = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "execution"
        ordering = ["-id"]
        indexes = [
            models.Index("created", name="execution_created"),
            # text_pattern_ops: answers `LIKE 'pack.%'` whatever the database's collation.
            models.Index(
                fields=["action_ref", "id"],
                opclasses=["text_pattern_ops", "int8_ops"],
                name="execution_action_ref",
            ),
            models.Index("status", "id", name="execution_status"),
            models.Index("updated", name="execution_updated"),
            # The pack of an execution, as filters and visibility compare it.
            models.Index(
                Func(F("action_ref"), Value("."), Value(1), function="split_part"),
                "id",
                name="execution_pack",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action_ref} #{self.pk}"

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL


class ExecutionEvent(models.Model):
    """One committed change, in the order the sequencer gave it. Append-only."""

    seq = models.BigIntegerField(primary_key=True)
    # No constraint: the history of a deleted execution stays.
    execution = models.ForeignKey(
        Execution,
        models.DO_NOTHING,
        db_column="execution",
        db_constraint=False,
        db_index=False,
        related_name="events",
    )
    version = models.IntegerField()
    op = models.TextField()
    status = models.TextField()
    old_status = models.TextField(null=True)
    action_ref = models.TextField()
    parent = models.BigIntegerField(null=True)
    ancestors = ArrayField(
        models.BigIntegerField(), null=True, help_text="Parent, its parent, and so on."
    )
    event = models.TextField(help_text="The JSON text that streams send as `data`.")
    bytes = models.IntegerField(help_text="The length of `event`.")
    recorded = models.DateTimeField(help_text="When the writer made the change.")
    old_action_ref = models.TextField(null=True)
    old_parent = models.BigIntegerField(null=True)
    old_ancestors = ArrayField(
        models.BigIntegerField(), null=True, help_text="Null where it has not been moved."
    )

    class Meta:
        db_table = "execution_event"
        ordering = ["seq"]
        indexes = [models.Index("execution", "seq", name="execution_event_execution")]

    def __str__(self) -> str:
        return f"{self.seq}: {self.op} {self.status}"
