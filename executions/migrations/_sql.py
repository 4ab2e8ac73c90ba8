"""Load a migration's SQL from `executions/sql/`."""

from __future__ import annotations

from pathlib import Path

from django.db.migrations import RunSQL

_FOLDER = Path(__file__).resolve().parent.parent / "sql"


class RunSQLFile(RunSQL):
    """Run `NAME.sql`, and `NAME_reverse.sql` on the way back.

    Applied files are never edited: a change is a new file, with functions `…_v2`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(_read(name), _read(f"{name}_reverse"))


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
