"""What the doctor asks the database: triggers, rights, and whether rows and log fit together.

Pure, and read only. Nothing here is part of the stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executions.eventlog import Connection

TELLING = "zzz_execution_changed"  # writes an UPDATE's event, the last of all BEFORE triggers
TRIGGERS = (
    "execution_before",
    "execution_inserted",
    "execution_updated",
    "execution_deleted",
    "execution_truncated",
    TELLING,
)
# What web processes, workers and `pruneevents` do with the tables that are not only Django's.
RIGHTS = {
    "pack": "SELECT",
    "action": "SELECT",
    "execution": "SELECT, INSERT, UPDATE, DELETE",
    "execution_inbox": "SELECT, DELETE",
    "execution_event": "SELECT, INSERT, DELETE",
    "stream_state": "SELECT, UPDATE",
}
_SQL = Path(__file__).resolve().parent / "sql"
_LOOKED_AT = 1000  # of the newest executions and events

_TRIGGERS = """
    SELECT t.tgname, t.tgenabled::text, p.proname,
        p.prosecdef, pg_get_userbyid(p.proowner),
        has_table_privilege(p.proowner, 'attune.execution_inbox', 'INSERT'),
        t.tgtype & 19 = 19,  -- for each row, before, UPDATE: catalog/pg_trigger.h
        pg_get_triggerdef(t.oid)
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = to_regclass('attune.execution') AND NOT t.tgisinternal
"""
_RIGHTS = """
    SELECT w.name, w.privilege FROM unnest(%s::text[], %s::text[]) AS w (name, privilege)
    WHERE to_regclass('attune.' || w.name) IS NOT NULL
        AND NOT has_table_privilege('attune.' || w.name, w.privilege)
"""
_FUNCTIONS = """
    SELECT p.proname FROM pg_proc p
    WHERE p.pronamespace = to_regnamespace('attune')
        AND p.prorettype <> 'trigger'::regtype  -- which only their owner has to call
        AND NOT has_function_privilege(p.oid, 'EXECUTE')
    ORDER BY p.proname
"""
# As stream_open_v1 names it: the cluster, its timeline, the database.
_HERE = """
    SELECT s.origin, format('%s/%s/%s', c.system_identifier, k.timeline_id, d.oid)
    FROM attune.stream_state s, pg_control_system() c, pg_control_checkpoint() k, pg_database d
    WHERE d.datname = current_database()
"""
_LOG = f"""
    SELECT s.last_seq,
        coalesce((SELECT max(seq) FROM attune.execution_event), s.floor_seq),
        least({_LOOKED_AT}, s.last_seq - s.floor_seq)
            - (SELECT count(*) FROM attune.execution_event
                WHERE seq > greatest(s.floor_seq, s.last_seq - {_LOOKED_AT}) AND seq <= s.last_seq)
    FROM attune.stream_state s
"""
# Changes that made no event: of a version that no event has, or (where what counts it was off,
# too) of columns that the newest event of the execution has another value of. Where the log has
# been pruned since, nobody can tell.
_UNTOLD = f"""
    SELECT e.id, e.version FROM (
        SELECT id, version, updated, status, action_ref, parent FROM attune.execution
        ORDER BY updated DESC LIMIT {_LOOKED_AT}
    ) AS e, attune.stream_state s
    WHERE (s.floor_seq = 0 OR e.updated > (
            SELECT max(recorded) FROM (SELECT recorded FROM attune.execution_event
                WHERE seq > s.floor_seq ORDER BY seq LIMIT 100) AS first))
        AND NOT EXISTS (SELECT FROM (
                SELECT * FROM attune.execution_event v
                WHERE v.execution = e.id AND v.version >= e.version ORDER BY v.seq DESC LIMIT 1
            ) AS newest
            WHERE newest.status = e.status AND newest.action_ref = e.action_ref
                AND newest.parent IS NOT DISTINCT FROM e.parent)
        AND NOT EXISTS (SELECT FROM attune.execution_inbox i
            WHERE i.execution = e.id AND i.version >= e.version)
    ORDER BY e.id DESC LIMIT 10
"""
_HANDED_OVER = """
    SELECT (SELECT split_part(c, '=', 2) FROM pg_proc p, unnest(p.proconfig) c
            WHERE p.oid = to_regprocedure('attune.result_text_v1(jsonb)')
            AND c LIKE 'attune.result_max_bytes=%'),
        (SELECT p.prosrc LIKE '%true%' FROM pg_proc p
            WHERE p.oid = to_regprocedure('attune.notify_adaptive_v1()'))
"""


@dataclass(frozen=True, slots=True)
class Trigger:
    """`enabled` as in pg_trigger; `is_definer` and `owner` are those of its function.

    `may_change_updates`: it fires before an UPDATE, for each row. `definition`: as PostgreSQL
    writes the statement that makes it.
    """

    name: str
    enabled: str
    function: str
    is_definer: bool
    owner: str
    owner_may_insert: bool
    may_change_updates: bool
    definition: str

    @property
    def is_enabled(self) -> bool:
        return self.enabled in ("O", "A")

    @property
    def is_late(self) -> bool:
        """Whether it may change a row of which the event has been written already."""
        # PostgreSQL fires them in the order of their names, byte by byte.
        is_behind = self.name.encode() > TELLING.encode()
        return is_behind and self.may_change_updates and self.is_enabled

    def is_made_by(self, statement: str) -> bool:
        """Whether this statement would make the same trigger."""
        return _plain(self.definition) == _plain(statement)


@dataclass(frozen=True, slots=True)
class LogMatch:
    """The numbers of the log against each other; `missing` among its newest events."""

    last_seq: int
    highest: int
    missing: int


async def _rows(conn: Connection, query: Any, values: Any = None) -> list[tuple[Any, ...]]:
    return await (await conn.execute(query, values)).fetchall()


async def triggers(conn: Connection) -> dict[str, Trigger]:
    """Return the triggers of attune.execution by name."""
    return {row[0]: Trigger(*row) for row in await _rows(conn, _TRIGGERS)}


async def missing_rights(conn: Connection) -> list[str]:
    """Return what the role of this connection may not do, in the words of a GRANT."""
    if not (await _rows(conn, "SELECT has_schema_privilege('attune', 'USAGE')"))[0][0]:
        return ["USAGE ON SCHEMA attune"]
    pairs = [(name, right) for name, rights in RIGHTS.items() for right in rights.split(", ")]
    tables = await _rows(conn, _RIGHTS, [[p[0] for p in pairs], [p[1] for p in pairs]])
    functions = await _rows(conn, _FUNCTIONS)
    return [f"{right} ON attune.{name}" for name, right in tables] + [
        f"EXECUTE ON FUNCTION attune.{name}" for (name,) in functions
    ]


async def origin(conn: Connection) -> tuple[str, str]:
    """Return where the log was last numbered, and where it is."""
    ((was, here),) = await _rows(conn, _HERE)
    return was, here


async def log_match(conn: Connection) -> LogMatch:
    return LogMatch(*(await _rows(conn, _LOG))[0])


async def untold(conn: Connection) -> list[tuple[int, int]]:
    """Return executions, with their version, whose last change is neither in inbox nor in log."""
    return [(row[0], row[1]) for row in await _rows(conn, _UNTOLD)]


async def handed_over(conn: Connection) -> tuple[str | None, bool | None]:
    """Return ATTUNE_RESULT_MAX_BYTES and whether ATTUNE_NOTIFY is adaptive, as triggers know it."""
    ((limit, adaptive),) = await _rows(conn, _HANDED_OVER)
    return limit, adaptive


def statement(name: str) -> str:
    """Return the statement that makes one of our triggers, as the last migration has it."""
    made = ""
    for file in sorted(_SQL.glob("[0-9]*.sql")):
        if not file.stem.endswith("_reverse"):
            found = re.findall(
                rf"CREATE (?:OR REPLACE )?TRIGGER ({name} [^;]*;)", file.read_text(encoding="utf-8")
            )
            made = found[-1] if found else made
    return f"CREATE OR REPLACE TRIGGER {' '.join(made.split())}"


def _plain(statement: str) -> str:
    """Return what remains of a statement without what PostgreSQL writes in its own way."""
    # The schema is left out where it is in the search path.
    return re.sub(r"or replace|attune\.|[\s();]", "", statement.lower())


def function_of(statement: str) -> str:
    """Return the function that the trigger calls which this statement makes."""
    return statement.rpartition("attune.")[2].removesuffix("();")


def grants(missing: Iterable[str], role: str) -> str:
    """Return the statements that give what is missing."""
    return " ".join(f'GRANT {right} TO "{role}";' for right in missing)
