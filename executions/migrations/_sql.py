"""Load a migration's SQL from `executions/sql/`, and run it without making writers wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from django.db.migrations import RunSQL
from django.db.migrations.operations.base import Operation

_FOLDER = Path(__file__).resolve().parent.parent / "sql"

# Whoever waits for a lock on a table has everybody who comes later wait behind it. So no wait is
# longer than this, all waits of an attempt together stay far below 100 ms, and what is not had
# in time is let go. A migration that waits for a lock later on fails, and is rolled back.
FIRST_LOCK = "40ms"
NEXT_LOCKS = "10ms"
_ATTEMPTS = 600  # about two minutes
_TAKE_LOCKS = """
DO $$
DECLARE
    locks CONSTANT text[] := '{locks}';
    statement text;
BEGIN
    BEGIN
        -- An autovacuum gives way to whoever has waited for it so long.
        PERFORM set_config('deadlock_timeout', '10ms', true);
    EXCEPTION WHEN insufficient_privilege THEN
        NULL;
    END;
    FOR attempt IN 1..{attempts} LOOP
        BEGIN
            PERFORM set_config('lock_timeout', '{first}', true);
            FOREACH statement IN ARRAY locks LOOP
                EXECUTE 'LOCK TABLE ' || statement || ' MODE';
                PERFORM set_config('lock_timeout', '{next}', true);
            END LOOP;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.1 + 0.1 * random());
        END;
    END LOOP;
    RAISE EXCEPTION 'other transactions have kept all of % for two minutes', locks
        USING ERRCODE = 'lock_not_available',
              HINT = 'Migrate again when those that take long are over (pg_stat_activity).';
END $$;
"""


class RunSQLFile(RunSQL):
    """Run `NAME.sql`, and `NAME_reverse.sql` on the way back.

    Applied files are never edited: a change is a new file, with functions `…_v2`.
    """

    def __init__(
        self,
        name: str,
        *,
        locks: Mapping[str, str],
        reverse_locks: Mapping[str, str] | None = None,
        state: Sequence[Operation] = (),
    ) -> None:
        """`locks`: the strongest that the file takes on tables which others write to, by table,
        in the order in which writers and workers take theirs; of the way back, too, where
        `reverse_locks` does not say otherwise. `state`: what the file does to the models.
        """
        back = locks if reverse_locks is None else reverse_locks
        super().__init__(
            _take(locks) + _read(name),
            _take(back) + _read(f"{name}_reverse"),
            state_operations=state,
        )


def _take(locks: Mapping[str, str]) -> str:
    if not locks:
        return ""
    texts = ",".join(f'"{table} IN {mode}"' for table, mode in locks.items())
    return (
        _TAKE_LOCKS.replace("{locks}", f"{{{texts}}}")
        .replace("{attempts}", str(_ATTEMPTS))
        .replace("{first}", FIRST_LOCK)
        .replace("{next}", NEXT_LOCKS)
    )


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
