from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models.signals import post_migrate, pre_migrate


def create_schema(sender: AppConfig, *, using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Create the schema `attune` before the first table: the search path puts them there."""
    with connections[using].cursor() as cursor:
        # Asked first, because CREATE SCHEMA IF NOT EXISTS wants the right to create one
        # even where it exists, and a deployment may keep that right to itself.
        cursor.execute("SELECT to_regnamespace('attune') IS NULL")
        if cursor.fetchone()[0]:
            cursor.execute("CREATE SCHEMA attune")


def write_result_limit(sender: AppConfig, *, using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Hand ATTUNE_RESULT_MAX_BYTES to the trigger, which cannot read our settings."""
    wanted = f"attune.result_max_bytes={settings.ATTUNE.result_max_bytes}"
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT %s = ANY (proconfig) FROM pg_proc"
            " WHERE oid = to_regprocedure('attune.result_text_v1(jsonb)')",
            [wanted],
        )
        row = cursor.fetchone()
        if row is not None and not row[0]:  # no row: migrated back to before the function
            cursor.execute(
                "ALTER FUNCTION attune.result_text_v1(jsonb) SET attune.result_max_bytes = %s",
                [str(settings.ATTUNE.result_max_bytes)],
            )


def write_notify_mode(sender: AppConfig, *, using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Hand ATTUNE_NOTIFY to the triggers."""
    wanted = f"SELECT {str(settings.NOTIFY == 'adaptive').lower()}"
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT prosrc FROM pg_proc WHERE oid = to_regprocedure('attune.notify_adaptive_v1()')"
        )
        row = cursor.fetchone()
        if row is not None and row[0] != wanted:
            cursor.execute(
                "CREATE OR REPLACE FUNCTION attune.notify_adaptive_v1() RETURNS boolean"
                f" LANGUAGE sql IMMUTABLE PARALLEL SAFE AS '{wanted}'"
            )


class ExecutionsConfig(AppConfig):
    name = "executions"
    verbose_name = "Executions"

    def ready(self) -> None:
        pre_migrate.connect(create_schema, sender=self)
        post_migrate.connect(write_result_limit, sender=self)
        post_migrate.connect(write_notify_mode, sender=self)
