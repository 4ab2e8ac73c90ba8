"""Which migrations there are, and what a worker of each version calls."""

from __future__ import annotations

from pathlib import Path

from executions.migrations import __path__ as _folders

# The name of the sequencer that a worker calls which was made for that migration, or for one
# of those after it.
_SEQUENCERS = {
    "0003": "sequence_v1",
    "0006": "sequence_v2",
    "0007": "sequence_v3",
    "0011": "sequence_v4",
}


def migrations() -> list[str]:
    """Return the numbers of all migrations, in order."""
    (folder,) = map(Path, _folders)
    return sorted(path.name[:4] for path in folder.glob("[0-9]*.py"))


def sequencer(migration: str) -> str | None:
    """Return what a worker calls where the database stands at this migration. Pure."""
    known = [name for number, name in _SEQUENCERS.items() if number <= migration]
    return known[-1] if known else None
