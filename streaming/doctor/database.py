"""The database: its version, triggers, rights, log, and who is connected to it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import psycopg

from attune.limits import Limits
from executions import database, eventlog, figures, inspection
from executions.database import NotDirect
from executions.eventlog import Connection
from streaming.doctor.findings import Finding, error, ok, warning

OLDEST_VERSION = 140_000  # for CREATE OR REPLACE TRIGGER
LISTEN_SECONDS = 2.0
CHECK_SECONDS = 10.0
INBOX_SECONDS = (5.0, 30.0)  # old enough for a warning, for an error
QUEUE_SHARE = (0.4, 0.5)  # from the second on writers send no NOTIFY
CONNECTION_SHARE = 0.8
SKEW_SECONDS = (1.0, 30.0)
RUNBOOK = "docs/operations.md"
MIGRATE = "run manage.py migrate"
_OFF = {"D": "is disabled", "R": "fires only on replicas"}

Check = Callable[[Connection], AsyncIterator[Finding]]


async def examine(limits: Limits, *, adaptive: bool) -> AsyncIterator[Finding]:
    """Yield what there is to find; one error where nothing can be asked at all."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            conn = await database.connect(application="attune doctor")
    except (psycopg.Error, OSError, TimeoutError) as exc:
        advice = 'start PostgreSQL, or correct DATABASE_URL; `psql "$DATABASE_URL"` has to work'
        yield error("database", f"cannot connect: {_line(exc)}", advice)
        return
    async with conn:
        checks: list[tuple[str, Check]] = [
            ("database", _version),
            ("triggers", _triggers),
            ("grants", _grants),
            ("log", _log),
            ("epoch", _epoch),
            ("handed over", partial(_handed_over, limits=limits, adaptive=adaptive)),
            ("figures", _figures),
        ]
        for name, check in checks:
            async for finding in _guarded(name, check(conn)):
                yield finding
    async for finding in _guarded("listen", _listen()):
        yield finding


async def _guarded(name: str, findings: AsyncIterator[Finding]) -> AsyncIterator[Finding]:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            found = [finding async for finding in findings]
    except (psycopg.Error, OSError, TimeoutError) as exc:
        found = [error(name, f"cannot be checked: {_line(exc)}", _mend(exc))]
    for finding in found:
        yield finding


def _mend(exc: BaseException) -> str:
    if isinstance(exc, psycopg.errors.InsufficientPrivilege):
        return "grant it, or run as the role that owns the schema attune"
    if isinstance(exc, psycopg.ProgrammingError):
        return f"{MIGRATE}; the tables are not those of this version"
    return "look into the log of PostgreSQL"


def _line(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__


async def _version(conn: Connection) -> AsyncIterator[Finding]:
    version = conn.info.server_version
    text = f"PostgreSQL {version // 10_000}.{version % 10_000}, {conn.info.dbname}"
    if version < OLDEST_VERSION:
        yield error("database", text, f"use PostgreSQL {OLDEST_VERSION // 10_000} or newer")
    else:
        yield ok("database", text)
    cursor = await conn.execute("SELECT current_setting('transaction_read_only')")
    if await cursor.fetchone() == ("on",):
        advice = "point DATABASE_URL at the primary, or promote this one"
        yield error("database", "it is read only: a standby", advice)


async def _triggers(conn: Connection) -> AsyncIterator[Finding]:
    found = await inspection.triggers(conn)
    trouble = False
    for name in inspection.TRIGGERS:
        wrong = _wrong_with(name, found.get(name))
        if wrong:
            trouble = True
            yield error("triggers", f"{name} {wrong[0]}", wrong[1])
    if not trouble:
        functions = sorted({t.function for t in found.values() if t.name in inspection.TRIGGERS})
        yield ok("triggers", f"all there and enabled: {', '.join(functions)}")
    others = sorted(set(found) - set(inspection.TRIGGERS))
    if others:
        yield ok("triggers", f"beside ours: {', '.join(others)}")
    for name in others:
        if found[name].is_late:
            text = (
                f"{name} fires after {inspection.TELLING}: of a row that it changes or keeps from"
                " being changed, the event is not true"
            )
            made = f'ALTER TRIGGER "{name}" ON attune.execution RENAME TO "a_{name}";'
            yield error("triggers", text, made)


def _wrong_with(name: str, trigger: inspection.Trigger | None) -> tuple[str, str] | None:
    """Return what is wrong with one of our triggers, and what to do about it."""
    if trigger is None:
        made = _again(inspection.statement(name))
        return "is missing", f"{MIGRATE}; where that has nothing to do: {made}"
    if not trigger.is_enabled:
        made = f"ALTER TABLE attune.execution ENABLE TRIGGER {trigger.name};"
        return _OFF.get(trigger.enabled, "is in an unknown state"), _again(made)
    made = inspection.statement(name)
    wanted = inspection.function_of(made)
    if trigger.function != wanted:
        text = f"calls {trigger.function}, and this version wants {wanted}"
        return text, f"{MIGRATE}; where that has nothing to do: {made}"
    if not trigger.is_made_by(made):
        return "is another than this version makes", (
            f"{MIGRATE}; where that has nothing to do: {made}"
        )
    if trigger.name != "execution_before" and not trigger.is_definer:
        return f"calls {trigger.function}, which is not SECURITY DEFINER", (
            f"ALTER FUNCTION attune.{trigger.function}() SECURITY DEFINER;"
        )
    if trigger.is_definer and not trigger.owner_may_insert:
        owner = trigger.owner
        return f"runs as {owner}, who may not write to the inbox: writers fail", (
            f'GRANT INSERT ON attune.execution_inbox TO "{owner}";'
        )
    return None


def _again(statement: str) -> str:
    return f"{statement} What is written until then makes no events."


async def _grants(conn: Connection) -> AsyncIterator[Finding]:
    role = conn.info.user
    missing = await inspection.missing_rights(conn)
    if missing:
        advice = inspection.grants(missing, role)
        yield error("grants", f"the role {role} lacks {', '.join(missing)}", advice)
    else:
        yield ok("grants", f"the role {role} may do what it has to")


async def _log(conn: Connection) -> AsyncIterator[Finding]:
    match = await inspection.log_match(conn)
    restore = (
        "this database has been changed by hand or restored in part: restore all of the schema"
        " attune from one backup, into a new database (docs/deployment.md, Backup)"
    )
    if match.highest != match.last_seq or match.missing:
        yield error(
            "log",
            f"the last number is {match.last_seq}, the highest event {match.highest}, and"
            f" {match.missing} of the newest are missing",
            restore,
        )
    untold = await inspection.untold(conn)
    if untold:
        which = ", ".join(f"{id} (version {version})" for id, version in untold)
        yield warning(
            "log",
            f"executions whose last change made no event: {which}",
            "a trigger was off, or session_replication_role was replica; change them once more"
            " (any column) and streams will know",
        )
    if match.highest == match.last_seq and not match.missing and not untold:
        yield ok("log", f"{match.last_seq} events numbered, none missing")


async def _epoch(conn: Connection) -> AsyncIterator[Finding]:
    was, here = await inspection.origin(conn)
    epoch = (await eventlog.state(conn)).epoch
    if was == here:
        yield ok("epoch", epoch)
    elif not was:
        yield ok("epoch", f"{epoch}; no worker has numbered anything yet")
    else:
        yield warning(
            "epoch",
            f"{epoch} was numbered in another database ({was}, this is {here}): a restored or"
            " promoted one, which no worker has opened yet",
            "start a worker, or restart the one that runs: it gives the log a new epoch, and"
            " clients read the state anew",
        )


async def _handed_over(
    conn: Connection, *, limits: Limits, adaptive: bool
) -> AsyncIterator[Finding]:
    limit, is_adaptive = await inspection.handed_over(conn)
    if limit is not None and limit != str(limits.result_max_bytes):
        yield warning(
            "settings",
            f"ATTUNE_RESULT_MAX_BYTES is {limits.result_max_bytes}, the triggers have {limit}",
            MIGRATE,
        )
    if is_adaptive is not None and is_adaptive != adaptive:
        yield warning("settings", "the triggers have another ATTUNE_NOTIFY than this", MIGRATE)


async def _figures(conn: Connection) -> AsyncIterator[Finding]:
    found = await figures.read(conn)
    age = found.inbox_age_seconds
    text = f"{found.inbox} changes wait, the oldest for {age:.1f} s"
    advice = (
        "start a worker, or see what holds the one there is: docs/operations.md, AttuneInboxGrowing"
    )
    yield _graded("inbox", text, age, INBOX_SECONDS, advice)
    share = found.notify_queue
    advice = f"end the session that holds it: {RUNBOOK}, AttuneNotifyQueueFilling"
    yield _graded("notify queue", f"{share:.1%} in use", share, QUEUE_SHARE, advice)
    text = f"{found.connections} of {found.connection_limit}"
    if found.connections > CONNECTION_SHARE * found.connection_limit:
        advice = "raise max_connections, or put PgBouncer before it: docs/deployment.md"
        yield warning("connections", text, advice)
    else:
        yield ok("connections", text)
    ahead = found.clock_ahead
    text = f"the database's is {abs(ahead):.3f} s {'ahead of' if ahead >= 0 else 'behind'} ours"
    advice = "set both by NTP (chrony, systemd-timesyncd): tokens expire early or late"
    yield _graded("clock", text, abs(ahead), SKEW_SECONDS, advice)
    if found.workers:
        yield ok("worker", f"{found.workers} connected to the database")
    else:
        yield error("worker", "none is connected", "start manage.py runworker")


def _graded(
    check: str, text: str, value: float, limits: tuple[float, float], advice: str
) -> Finding:
    if value > limits[1]:
        return error(check, text, advice)
    return warning(check, text, advice) if value > limits[0] else ok(check, text)


async def _listen() -> AsyncIterator[Finding]:
    """As a worker connects, and hears of what others say."""
    connect = partial(database.connect, application="attune doctor", direct=True)
    async with await connect() as conn:
        try:
            await database.check_direct(conn, connect)
        except NotDirect as exc:
            # The exception's text says which setting it is.
            yield error("listen", "nothing is heard", str(exc))
            return
        seconds = await _round_trip(conn, connect)
        if seconds is None:
            advice = "see what stands between this machine and PostgreSQL"
            yield error("listen", f"nothing heard within {LISTEN_SECONDS:g} s", advice)
        else:
            yield ok("listen", f"heard after {seconds * 1000:.1f} ms")
        async for finding in _same_database(conn):
            yield finding


async def _round_trip(
    conn: Connection, connect: Callable[[], Awaitable[Connection]]
) -> float | None:
    channel = f"attune_{uuid.uuid4().hex}"
    await conn.execute(f"LISTEN {channel}")
    async with await connect() as other:
        began = time.monotonic()
        await other.execute(f"NOTIFY {channel}")
        async for _ in conn.notifies(timeout=LISTEN_SECONDS, stop_after=1):
            return time.monotonic() - began
    return None


async def _same_database(direct: Connection) -> AsyncIterator[Finding]:
    async with await database.connect(application="attune doctor") as conn:
        epochs = [(await eventlog.state(c)).epoch for c in (conn, direct)]
    if epochs[0] != epochs[1]:
        yield error(
            "listen",
            "ATTUNE_LISTEN_DATABASE_URL leads to another database than DATABASE_URL",
            "let both lead to the same one",
        )
