"""Records in files: of runs that go on, and of those that could not be written yet."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

from executions.tracking.record import Record


class Lease:
    """The file of a run that goes on, locked by whoever tracks it.

    The lock goes with its process, however that ends: an unlocked file tells of one that was
    killed, and its time of when that was.
    """

    def __init__(self, folder: Path, record: Record) -> None:
        """Raises OSError."""
        self._path, self._file = _create(folder, "run", record)

    def renew(self) -> None:
        with suppress(OSError, ValueError):  # released meanwhile
            os.utime(self._file.fileno())

    def release(self) -> None:
        with suppress(OSError):
            self._path.unlink()
        self._file.close()


def keep(folder: Path, record: Record) -> Path:
    """Write the record to a file that only its owner reads; raises OSError."""
    path, file = _create(folder, "json", record)
    file.close()
    return path


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def leased(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.run"))


def _create(folder: Path, suffix: str, record: Record) -> tuple[Path, IO[str]]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid4().hex}.{suffix}"
    unfinished = path.with_suffix(".part")
    file = os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(record.to_json())
        file.flush()
        os.fsync(file.fileno())
        unfinished.rename(path)
    except OSError:
        file.close()
        raise
    return path, file


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
