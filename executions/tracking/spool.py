"""Records that could not be written, in files, until somebody writes them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from executions.tracking.record import Record


def keep(folder: Path, record: Record) -> Path:
    """Write the record to a file that only its owner reads; raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid4().hex}.json"
    unfinished = path.with_suffix(".part")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(record.to_json())
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    return path


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


@contextmanager
def taken(path: Path) -> Iterator[Record | None]:
    """Give the record of a file, which goes when the block ends well.

    None where another process has it, or where it is no record (and stays, for a person).
    """
    try:
        file = path.open("r+", encoding="utf-8")
    except OSError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            record = Record.from_json(file.read()) if path.exists() else None
        except (BlockingIOError, ValueError, KeyError, TypeError):
            record = None
        yield record
        if record is not None:
            path.unlink()
