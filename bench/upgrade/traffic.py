"""What goes on meanwhile: writers on a schedule, one that takes its time, and a worker.

Open loop: every UPDATE has its moment fixed in advance, and is charged from then on.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bench.faults.facts import Change

WRITERS = 4
LONG_SECONDS = (0.5, 1.0)  # that the slow one keeps its transaction open
REST_SECONDS = (0.1, 0.3)  # and then rests: a migration has to find such a gap
WORKER_PAUSE_SECONDS = 0.02
WORKER_RETRY_SECONDS = 0.1
_UPDATE = (
    "UPDATE attune.execution SET enforcement = %s, status = %s WHERE id = %s RETURNING id, version"
)
# Has PostgreSQL itself tell the writer of each wait for a lock that was longer than 1 ms.
_TELL_OF_WAITS = "-c log_lock_waits=on -c deadlock_timeout=1ms -c client_min_messages=log"
# On a table: waits for a row, which another writer has, are none of ours.
_WAITED = re.compile(r"acquired \w+ on relation .* after ([0-9.]+) ms")


@dataclass
class Traffic:
    """`waits`: (when it was due, seconds until COMMIT had answered) of each UPDATE."""

    url: str
    rows: int
    rate: float
    seed: int
    waits: list[tuple[float, float]] = field(default_factory=list)
    lock_waits: list[tuple[float, float]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    marks: set[int] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    worker_errors: list[str] = field(default_factory=list)
    sequencer: str | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run all of it, in threads, for as long as the context lasts."""
        jobs: list[tuple[str, Callable[[], None]]] = [
            *((f"writer {n}", lambda n=n: self._write(n)) for n in range(WRITERS)),
            ("long writer", self._write_long),
            ("worker", self._sequence),
        ]
        threads = [threading.Thread(target=self._guard, args=job, name=job[0]) for job in jobs]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _guard(self, name: str, job: Callable[[], None]) -> None:
        try:
            job()
        except psycopg.Error as exc:
            self.errors.append(f"{name}: {exc!r}")

    def _connect(self, name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self.url, autocommit=True, application_name=name, options=_TELL_OF_WAITS
        )

    def _told(self, told: psycopg.errors.Diagnostic) -> None:
        found = _WAITED.search(told.message_primary or "")
        if found is not None:
            self.lock_waits.append((time.monotonic(), float(found[1]) / 1000))

    def _write(self, number: int) -> None:
        """Change one execution after the other. Each writer has ids of its own, and so waits
        for no other."""
        chance = random.Random(self.seed + number)
        period = WRITERS / self.rate
        with self._connect("writer") as conn:
            conn.add_notice_handler(self._told)
            due = time.monotonic() + period * number / WRITERS
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                execution = chance.randrange(self.rows // 5) * 5 + number + 1
                mark = int(due * 1e6) * WRITERS + number
                self.marks.add(mark)
                values = [mark, chance.choice(["running", "completed"]), execution]
                (row,) = conn.execute(_UPDATE, values).fetchall()
                done = time.monotonic()
                self.waits.append((due, done - due))
                self.changes.append(Change(row[0], row[1], began=due, committed=done))
                due += period

    def _write_long(self) -> None:
        """Keep a transaction open, which no migration may make others wait for."""
        chance = random.Random(self.seed)
        with self._connect("long writer") as conn:
            while not self._stop.wait(chance.uniform(*REST_SECONDS)):
                began = time.monotonic()
                mark = int(began * 1e6) * WRITERS
                self.marks.add(mark)
                with conn.transaction():
                    values = [mark, "running", chance.randrange(self.rows // 5) * 5 + 5]
                    (row,) = conn.execute(_UPDATE, values).fetchall()
                    self._stop.wait(chance.uniform(*LONG_SECONDS))
                done = time.monotonic()
                self.changes.append(Change(row[0], row[1], began=began, committed=done))

    def _sequence(self) -> None:
        """Do what a worker of the version before does, which goes on while one migrates. As
        every worker, it connects anew after an error: a call that the migration has caught
        at work fails, where it has waited for a table that has other columns since.
        """
        while not self._stop.is_set():
            try:
                with self._connect("worker") as conn:
                    while not self._stop.wait(WORKER_PAUSE_SECONDS):
                        if (name := self.sequencer) is not None:
                            conn.execute(f"SELECT * FROM attune.{name}(1000)").fetchall()
            except psycopg.Error as exc:
                self.worker_errors.append(type(exc).__name__)
                self._stop.wait(WORKER_RETRY_SECONDS)
