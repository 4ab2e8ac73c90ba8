"""Settings that are not safe, and migrations that have not been run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from streaming.doctor.findings import Finding, error, ok, warning

OURS = frozenset({"executions", "accounts", "streaming"})
_LOCAL = "this is a stack for one machine (ATTUNE_LOCAL); set DATABASE_URL for anything else"


def examine(settings: Any) -> Iterator[Finding]:
    yield from _settings(settings)
    yield from _migrations()


def _settings(settings: Any) -> Iterator[Finding]:
    found = [
        (settings.DEBUG, "ATTUNE_DEBUG is on: errors show settings and code to anybody",
         "set ATTUNE_DEBUG=false"),
        ("*" in settings.ALLOWED_HOSTS, "ATTUNE_ALLOWED_HOSTS is *: any name is believed",
         "name the hosts that browsers ask for"),
        (not settings.HTTPS and not settings.IS_LOCAL,
         "ATTUNE_HTTPS is off: tokens and cookies can be read on their way",
         "set ATTUNE_HTTPS=true, behind a proxy that speaks TLS, with ATTUNE_TRUST_PROXY=true"),
        (_has_redis_in_the_open(settings.REDIS_URLS),
         "REDIS_URL has no password and leads to another machine: whoever gets there can delay"
         " events and lift limits",
         "give Redis a password (redis://:password@host), or a network of its own"),
    ]  # fmt: skip
    wrong = [warning("settings", text, advice) for is_wrong, text, advice in found if is_wrong]
    yield from wrong
    if not settings.IS_LOCAL:
        wrong += (serious := list(_djangos_own()))
        yield from serious
    if not wrong:
        yield ok("settings", _LOCAL if settings.IS_LOCAL else "nothing insecure in them")


def _has_redis_in_the_open(urls: list[str]) -> bool:
    local = ("unix:", "redis://127.", "redis://localhost", "redis://[::1]")
    return any(not url.startswith(local) and "@" not in url for url in urls)


def _djangos_own() -> Iterator[Finding]:
    """What `manage.py check --deploy` says, but for what is said better above."""
    told = {"security.W008", "security.W012", "security.W016", "security.W018", "security.W004"}
    for message in checks.run_checks(include_deployment_checks=True):
        if message.id not in told and message.level >= checks.WARNING:
            kind = error if message.level >= checks.ERROR else warning
            yield kind(
                "settings",
                f"{message.msg} ({message.id})",
                message.hint or "see Django's documentation",
            )


def _migrations() -> Iterator[Finding]:
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        applied = set(executor.loader.applied_migrations)
    except DatabaseError as exc:
        text = f"not checked: {type(exc).__name__}"
        yield error("migrations", text, "mend the database first")
        return
    finally:
        connection.close()
    pending = [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
    unknown = [
        f"{app}.{name}" for app, name in sorted(applied - set(executor.loader.disk_migrations))
        if app in OURS
    ]  # fmt: skip
    if pending:
        yield error("migrations", f"not run yet: {', '.join(pending)}", "run manage.py migrate")
    if unknown:
        advice = "install the version that has made them, or restore what was before"
        yield error("migrations", f"the database is newer than this: {', '.join(unknown)}", advice)
    if not pending and not unknown:
        yield ok("migrations", "all have been run")
