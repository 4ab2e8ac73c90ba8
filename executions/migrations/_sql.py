"""Load a migration's SQL from `executions/sql/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from django.db.migrations import RunSQL
from django.db.migrations.operations.base import Operation

_FOLDER = Path(__file__).resolve().parent.parent / "sql"


class RunSQLFile(RunSQL):
    """Run `NAME.sql`, and `NAME_reverse.sql` on the way back.

    Applied files are never edited: a change is a new file, with functions `…_v2`.
    """

    def __init__(self, name: str, *, state: Sequence[Operation] = ()) -> None:
        """`state`: what that does to the models."""
        super().__init__(_read(name), _read(f"{name}_reverse"), state_operations=state)


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
