"""`manage.py simulate`: make executions that live as real ones do, for something to watch."""

from __future__ import annotations

import math
import secrets
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random, uniform
from types import FrameType, TracebackType
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser
from psycopg.types.json import Jsonb

from executions.database import conninfo
from executions.simulation import ACTIONS, PACKS, Change, Pace, Simulation
from executions.status import TERMINAL, Status

MAX_RATE = 1000.0  # what one connection can commit on common disks
MAX_SECONDS = 366 * 86_400.0
RETRY_SECONDS = (0.2, 10.0)  # first and longest wait before connecting again
FINISH_SECONDS = 5.0  # for the last statement: somebody may hold a lock it needs
SIGNAL_SECONDS = 0.1  # how soon a signal ends a wait

_PACK = "INSERT INTO attune.pack (ref, label) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_ACTION = """
    INSERT INTO attune.action (ref, pack, pack_ref, label, param_schema)
    SELECT %s, p.id, p.ref, %s, %s FROM attune.pack p WHERE p.ref = %s
    ON CONFLICT DO NOTHING
"""
# The id is taken first, so that an INSERT whose answer was lost can be made again.
_NEXT_ID = "SELECT nextval(pg_get_serial_sequence('attune.execution', 'id'))"
# Action and parent may be deleted meanwhile: then they are NULL, as if deleted just after.
_INSERT = """
    INSERT INTO attune.execution (id, action, action_ref, config, parent)
    VALUES (
        %(id)s,
        (SELECT a.id FROM attune.action a WHERE a.ref = %(action_ref)s FOR KEY SHARE),
        %(action_ref)s,
        %(config)s,
        (SELECT e.id FROM attune.execution e WHERE e.id = %(parent)s FOR KEY SHARE))
    ON CONFLICT (id) DO NOTHING
"""
_UPDATE = """
    UPDATE attune.execution SET status = %(status)s, result = %(result)s
    WHERE id = %(id)s AND status = %(before)s
"""
_STATUS = "SELECT status FROM attune.execution WHERE id = %s"
_ABANDON = """
    UPDATE attune.execution SET status = 'abandoned' WHERE id = ANY (%s) AND status <> ALL (%s)
"""


class Command(BaseCommand):
    help = (
        "Drive made-up executions from request to end, with plain SQL as any other writer:"
        " something to watch. Ctrl-C ends it; what is open then is abandoned."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--rate", type=float, default=5.0, help="changes a second (default %(default)s)"
        )
        parser.add_argument(
            "--duration", type=float, metavar="SECONDS", help="end by itself after so long"
        )
        parser.add_argument("--seed", type=int, help="repeat the run that printed this seed")

    def handle(self, *args: Any, **options: Any) -> None:
        rate = _checked("--rate", options["rate"], MAX_RATE)
        duration = options["duration"]
        if duration is not None:
            duration = _checked("--duration", duration, MAX_SECONDS)
        seed = secrets.randbelow(2**32) if options["seed"] is None else options["seed"]
        writer = Writer(conninfo(application="attune simulate"))
        try:
            with Until(duration) as until:
                writer.add_actions()
                self._say(f"Simulating {rate:g} changes/s with --seed {seed}; Ctrl-C ends it.")
                self._run(
                    Simulation(Random(seed), rate=rate), Pace(rate, now=until.began), writer, until
                )
                self._say(writer.finish(seconds=time.monotonic() - until.began))
        except psycopg.OperationalError as exc:
            raise CommandError(f"cannot reach the database: {_line(exc)}") from exc
        except psycopg.Error as exc:
            raise CommandError(f"the database refuses: {_line(exc)}; is it migrated?") from exc
        except KeyboardInterrupt:
            self.stderr.write("Stopped at once; open executions stay open.")
        finally:
            writer.close()

    def _run(self, simulation: Simulation, pace: Pace, writer: Writer, until: Until) -> None:
        while not until.over:
            change = simulation.next()
            until.sleep(pace.wait(time.monotonic()))
            self._make(change, simulation, writer, until)

    def _make(self, change: Change, simulation: Simulation, writer: Writer, until: Until) -> None:
        """Make one change, again and again while the database is away."""
        wait = RETRY_SECONDS[0]
        while not until.over:
            try:
                writer.make(change, simulation)
            except psycopg.OperationalError as exc:
                if wait == RETRY_SECONDS[0]:
                    self.stderr.write(f"Lost the database, trying again: {_line(exc)}")
                until.sleep(wait * uniform(0.5, 1.0))
                wait = min(wait * 2, RETRY_SECONDS[1])
            else:
                break

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


@dataclass
class Writer:
    """Makes changes over one connection, opened when needed, and counts them."""

    conninfo: str
    started: int = 0
    changes: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    _ids: dict[int, int] = field(default_factory=dict)  # of the open runs
    _conn: psycopg.Connection[tuple[Any, ...]] | None = None

    def add_actions(self) -> None:
        """Create the demo packs and actions where they are missing."""
        for ref, label in PACKS.items():
            self._execute(_PACK, [ref, label])
        for action in ACTIONS:
            values = [action.ref, action.label, Jsonb(action.param_schema), action.pack]
            self._execute(_ACTION, values)

    def make(self, change: Change, simulation: Simulation) -> None:
        """Make `change`, and tell `simulation` how it went.

        Raises psycopg.OperationalError where the database is away; the same change may be
        made again then, whether or not it has arrived.
        """
        if change.before is None:
            self._insert(change)
        elif not self._update(change):
            row = self._execute(_STATUS, [self._ids[change.run]]).fetchone()
            status = None if row is None else Status(row[0])
            simulation.found(change, status)
            self._count(change.run, status)
            return
        simulation.done(change)
        self.changes += 1
        self._count(change.run, change.status)

    def finish(self, *, seconds: float) -> str:
        """Abandon what is open, close, and return the summary."""
        left = len(self._ids)
        with suppress(psycopg.OperationalError):
            left = self._abandon()
        ended = [f"{count} {status}" for status, count in sorted(self.ended.items())]
        return (
            f"Simulated {self.started} executions, {self.changes} changes in {seconds:.1f} s: "
            + ", ".join([*ended, f"{left} left open"])
        )

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _abandon(self) -> int:
        ids = list(self._ids.values())
        conn = self._connection()
        with conn.transaction():
            conn.execute("SELECT set_config('statement_timeout', %s, true)", [f"{FINISH_SECONDS}s"])
            count = conn.execute(_ABANDON, [ids, sorted(TERMINAL)]).rowcount
        if count:
            self.changes += count
            self.ended[Status.ABANDONED] += count
        return 0

    def _insert(self, change: Change) -> None:
        if change.run not in self._ids:
            row = self._execute(_NEXT_ID, []).fetchone()
            assert row is not None
            self._ids[change.run] = row[0]
        values = {
            "id": self._ids[change.run],
            "action_ref": change.action_ref,
            "config": Jsonb(change.config),
            "parent": None if change.parent is None else self._ids[change.parent],
        }
        self._execute(_INSERT, values)
        self.started += 1

    def _update(self, change: Change) -> bool:
        values = {
            "id": self._ids[change.run],
            "before": change.before,
            "status": change.status,
            "result": None if change.result is None else Jsonb(change.result),
        }
        return self._execute(_UPDATE, values).rowcount == 1

    def _count(self, run: int, status: Status | None) -> None:
        if status is None or status in TERMINAL:
            del self._ids[run]
        if status in TERMINAL:
            self.ended[status] += 1

    def _execute(self, statement: str, values: Any) -> psycopg.Cursor[tuple[Any, ...]]:
        try:
            return self._connection().execute(statement, values)
        except psycopg.Error:
            self.close()
            raise

    def _connection(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._conn is None:
            # Nothing prepared: the URL may lead to a transaction-pooling bouncer.
            self._conn = psycopg.connect(self.conninfo, autocommit=True, prepare_threshold=None)
        return self._conn


class Until:
    """Over after so many seconds (None: never), or once SIGINT or SIGTERM has come."""

    def __init__(self, seconds: float | None) -> None:
        self.began = time.monotonic()
        self._ends = math.inf if seconds is None else self.began + seconds
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Until:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._end)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._ends

    def sleep(self, seconds: float) -> None:
        """Sleep so long, or until it is over."""
        wakes = time.monotonic() + seconds
        while (left := min(wakes, self._ends) - time.monotonic()) > 0:
            time.sleep(min(left, SIGNAL_SECONDS))

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._ends = -math.inf
        self._restore()  # a second one ends it at once, whatever it is waiting for

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _checked(option: str, value: float, high: float) -> float:
    if not 0 < value <= high:  # also refuses nan
        raise CommandError(f"{option}: {value:g} is out of range; use more than 0, up to {high:g}")
    return value


def _line(exc: psycopg.Error) -> str:
    """Return the error in one line."""
    return " ".join((exc.diag.message_primary or str(exc)).split()) or type(exc).__name__
