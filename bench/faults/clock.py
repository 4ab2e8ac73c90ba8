"""A wall clock that can be stepped: libfaketime between the system's processes and the kernel.

Only theirs: the machine's clock stays as it is, and so does the monotonic one, which a step
does not move in reality either.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from attune.local.errors import LocalStackError
from attune.local.postgres import EmbeddedPostgres
from bench.faults.system import Cluster, NotPossible

# Where Debian's package `faketime` puts it.
LIBRARIES = "/usr/lib/*/faketime/libfaketime.so.1"
CACHE_SECONDS = 1  # whole seconds, and one more than that: see SEEN_SECONDS
SEEN_SECONDS = 2.5  # by then every process has seen a step; until then, they differ


class Clock:
    """The clock of all processes that are started with `env`."""

    def __init__(self, folder: Path) -> None:
        found = sorted(Path("/").glob(LIBRARIES.removeprefix("/")))
        if not found:
            raise NotPossible("libfaketime is not installed (Debian: apt-get install faketime)")
        self._file = folder / "clock"
        self.step(0)
        self._file.chmod(0o644)  # PostgreSQL may run as somebody else
        self.env = {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(CACHE_SECONDS),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def step(self, seconds: int) -> None:
        """Set the clock so many seconds beside the real one."""
        self._file.write_text(f"{seconds:+d}\n", encoding="ascii")


@contextmanager
def stepping_cluster(folder: Path) -> Iterator[tuple[Cluster, Clock]]:
    """Run a PostgreSQL under such a clock, with a migrated database; raises NotPossible."""
    left_over = set(_shared_memory())
    folder.mkdir()
    clock = Clock(folder)
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        os.environ |= clock.env
        try:
            postgres.start()
        except (LocalStackError, OSError) as exc:
            raise NotPossible(f"PostgreSQL does not start under libfaketime: {exc}") from exc
        finally:
            for name in clock.env:
                del os.environ[name]
        _check(postgres, clock)
        cluster = Cluster(postgres)
        cluster.migrate()
        yield cluster, clock
    finally:
        postgres.stop()
        # libfaketime's own, which processes leave there when they are killed.
        for path in set(_shared_memory()) - left_over:
            path.unlink(missing_ok=True)


def _check(postgres: EmbeddedPostgres, clock: Clock) -> None:
    """Step the clock, and see whether PostgreSQL's goes along."""
    clock.step(-86_400)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as conn:
        time.sleep(SEEN_SECONDS)  # not pg_sleep(): that goes by the clock that is stepped
        row = conn.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
    clock.step(0)
    if row is None or abs(float(row[0]) - (time.time() - 86_400)) > 60:
        raise NotPossible("libfaketime does not move PostgreSQL's clock here")


def _shared_memory() -> Iterator[Path]:
    return Path("/dev/shm").glob("*faketime*")
