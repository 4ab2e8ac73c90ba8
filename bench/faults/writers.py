"""Writers as any program would be one: plain SQL, several at once, on the same executions.

They know nothing of the stream. What they were promised (COMMIT has returned) is put down in a
ledger; so is what they cannot know, because the connection broke before COMMIT returned.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from bench.faults.facts import Change, Maybe

Connection = psycopg.Connection[tuple[int, int]]

RECONNECT_SECONDS = 0.1
STATEMENT_TIMEOUT_MILLISECONDS = 20_000
STATUSES = ("requested", "scheduling", "scheduled", "running", "canceling")
TERMINAL = ("completed", "failed", "cancelled", "timeout", "abandoned")
MOST_STEPS = 5  # of one transaction

_INSERT = (
    "INSERT INTO attune.execution (action_ref, status, enforcement) VALUES (%s, %s, %s)"
    " RETURNING id, version"
)
_UPDATE = (
    "UPDATE attune.execution SET status = %s, result = %s, enforcement = %s WHERE id = %s"
    " RETURNING id, version"
)
# Locked in one order, as two of these would deadlock otherwise: two rows in one statement.
_UPDATE_SOME = (
    "UPDATE attune.execution SET status = %s, enforcement = %s WHERE id IN"
    " (SELECT id FROM attune.execution WHERE id = ANY (%s) ORDER BY id FOR UPDATE)"
    " RETURNING id, version"
)
# The event of a DELETE is one version later than the row.
_DELETE = "DELETE FROM attune.execution WHERE id = %s RETURNING id, version + 1"
_CHANGE_NOTHING = "UPDATE attune.execution SET status = status WHERE id = %s"


@dataclass(frozen=True, slots=True)
class Step:
    """One statement. `mark` is the number it leaves in the rows, `deletes` what it deletes."""

    query: str
    values: Sequence[object]
    mark: int | None = None
    deletes: int | None = None


@dataclass
class Ledger:
    """What all writers of a scenario know about their changes. Appending is thread-safe."""

    changes: list[Change] = field(default_factory=list)
    marks: set[int] = field(default_factory=set)
    deleted: set[int] = field(default_factory=set)
    errors: Counter[str] = field(default_factory=Counter)  # of a statement the server answered
    disconnects: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0  # one statement, or one short transaction
    _marks: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def mark(self) -> int:
        """Return a number that no other statement leaves behind."""
        return next(self._marks)

    @property
    def maybe(self) -> Maybe:
        return Maybe(frozenset(self.marks), frozenset(self.deleted))

    def write(
        self, conn: Connection, steps: Sequence[Step], *, explicit: bool = False
    ) -> list[tuple[int, int]]:
        """Run the steps, each by itself or in one transaction; return (execution, version) of
        each change. Raises psycopg.Error.
        """
        began = time.monotonic()
        rows: list[tuple[int, int]] = []
        in_doubt = not explicit
        try:
            if explicit:
                conn.execute("BEGIN")
            for step in steps:
                rows += conn.execute(step.query, step.values).fetchall()
            if explicit:
                in_doubt = True
                conn.execute("COMMIT")
        except psycopg.Error as exc:
            if in_doubt and gone(exc):
                self.marks.update(step.mark for step in steps if step.mark is not None)
                self.deleted.update(step.deletes for step in steps if step.deletes is not None)
            raise
        committed = time.monotonic()
        self.changes += [Change(*row, began=began, committed=committed) for row in rows]
        return rows

    def failed(self, exc: psycopg.Error) -> None:
        text = " ".join(f"{type(exc).__name__} {exc.sqlstate or ''} {exc}".split())
        (self.disconnects if gone(exc) else self.errors)[text] += 1


@dataclass(frozen=True, slots=True)
class Load:
    """What the writers do. `rate` is changes a second of all of them together."""

    rate: float = 150.0
    writers: int = 4
    packs: tuple[str, ...] = ("alpha", "beta", "vault")
    result_bytes: int = 300


class Writers:
    """The threads; leaving the context stops them."""

    def __init__(self, url: str, ledger: Ledger, load: Load, *, pinned: list[int], seed: int):
        self._stop = threading.Event()
        # Executions that any writer may change or delete; the pinned ones nobody deletes.
        self._shared: list[int] = []
        self._threads = [
            threading.Thread(
                target=_Writer(url, ledger, load, self._shared, pinned, self._stop, seed + n).run,
                # As psql does from a shell script, one of them connects for every change.
                kwargs={"anew": n == 0},
                name=f"writer {n}",
            )
            for n in range(load.writers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()


class _Writer:
    """One thread: connects, writes, and connects again when the database was away."""

    def __init__(
        self,
        url: str,
        ledger: Ledger,
        load: Load,
        shared: list[int],
        pinned: list[int],
        stop: threading.Event,
        seed: int,
    ) -> None:
        self._url = url
        self._ledger = ledger
        self._load = load
        self._shared = shared
        self._pinned = pinned
        self._stop = stop
        self._random = random.Random(seed)
        self._seconds = load.writers / load.rate

    def run(self, *, anew: bool) -> None:
        """Write until told to stop; `anew`: on a new connection each time."""
        while not self._stop.is_set():
            try:
                with connect(self._url) as conn:
                    self._serve(conn)
                    while not (anew or self._stop.is_set()):
                        self._serve(conn)
            except psycopg.Error as exc:
                self._ledger.failed(exc)
                self._stop.wait(RECONNECT_SECONDS)

    def _serve(self, conn: Connection) -> None:
        began, before = time.monotonic(), len(self._ledger.changes)
        self._write(conn)
        seconds = time.monotonic() - began
        self._ledger.slowest_seconds = max(self._ledger.slowest_seconds, seconds)
        # About the rate wanted: others count in too, which evens out.
        made = max(1, min(MOST_STEPS, len(self._ledger.changes) - before))
        self._stop.wait(max(0.0, made * self._seconds - seconds))

    def _write(self, conn: Connection) -> None:
        choice = self._random.random()
        if choice < 0.15:
            # By id, so that two transactions never wait for each other.
            ids = sorted({self._any() for _ in range(self._random.randint(2, MOST_STEPS))})
            steps = [self._update(execution) for execution in ids] + [self._insert()]
            if self._random.random() < 0.2:
                self._roll_back(conn, steps)
            else:
                self._ledger.write(conn, steps, explicit=True)
        elif choice < 0.2:
            conn.execute(_CHANGE_NOTHING, [self._any()])
        elif choice < 0.25:
            ids = [self._any(), self._any()]
            mark = self._ledger.mark()
            step = Step(_UPDATE_SOME, [self._status(), mark, ids], mark=mark)
            self._ledger.write(conn, [step])
        elif choice < 0.4:
            ((execution, _),) = self._ledger.write(conn, [self._insert()])
            self._shared.append(execution)
        elif choice < 0.47 and self._shared:
            self._ledger.write(conn, [self._delete()])
        else:
            self._ledger.write(conn, [self._update(self._any())])

    def _roll_back(self, conn: Connection, steps: Sequence[Step]) -> None:
        conn.execute("BEGIN")
        for step in steps:
            conn.execute(step.query, step.values)
        conn.execute("ROLLBACK")

    def _insert(self) -> Step:
        mark = self._ledger.mark()
        action_ref = f"{self._random.choice(self._load.packs)}.work"
        return Step(_INSERT, [action_ref, self._random.choice(STATUSES), mark], mark=mark)

    def _update(self, execution: int) -> Step:
        mark = self._ledger.mark()
        status = self._status()
        result = None
        if status in TERMINAL:
            result = json.dumps({"text": "ü✅" * (self._load.result_bytes // 5)})
        return Step(_UPDATE, [status, result, mark, execution], mark=mark)

    def _status(self) -> str:
        return self._random.choice(STATUSES + TERMINAL)

    def _delete(self) -> Step:
        # One that another writer took just now changes nothing: no row, no event.
        execution = self._random.choice(self._shared)
        with contextlib.suppress(ValueError):
            self._shared.remove(execution)
        return Step(_DELETE, [execution], deletes=execution)

    def _any(self) -> int:
        """Return an execution to change; often one of the few that everybody changes."""
        if len(self._shared) < 10 or self._random.random() < 0.3:
            return self._random.choice(self._pinned)
        return self._random.choice(self._shared)


def gone(exc: psycopg.Error) -> bool:
    """Say whether the server has gone away, as opposed to having refused us."""
    if _TOO_MANY in str(exc):  # while connecting, psycopg knows no SQLSTATE
        return False
    state = exc.sqlstate or "08"
    return isinstance(exc, psycopg.OperationalError) and (state[:2] == "08" or state in _SHUTDOWN)


_TOO_MANY = "too many clients"
_SHUTDOWN = ("57P01", "57P02", "57P03")  # admin, crash, cannot connect now


def connect(url: str) -> Connection:
    """Open a connection in autocommit; raises psycopg.OperationalError."""
    return psycopg.connect(
        url,
        autocommit=True,
        options=f"-c statement_timeout={STATEMENT_TIMEOUT_MILLISECONDS}",
        application_name="writer",
    )
