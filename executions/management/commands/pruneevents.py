"""`manage.py pruneevents`: drop old history of the log. Made for cron."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser

from executions import pruning
from executions.database import conninfo
from executions.pruning import Keep, Pruned

T = TypeVar("T")

MAX_AGE = timedelta(days=36_500)  # PostgreSQL's clock does not go below 4713 BC
MAX_BATCH = 100_000  # one transaction: longer ones hold back vacuum and flood the WAL

_AGE = re.compile(r"([0-9]{1,10})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SIZE = re.compile(r"([0-9]{1,15})([KMG]?)", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


class Command(BaseCommand):
    help = (
        "Drop old events from the log; at least one limit is needed, and what is beyond any of"
        " them goes. A client whose cursor is older gets a reset (history_gone). Works beside"
        " a running system, and may be stopped at any time: the next run goes on. While another"
        " one is at work it says so and does nothing, with exit status 0."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than",
            metavar="AGE",
            help="keep no events older than this: 90m, 36h, 7d; up to the first younger one",
        )
        parser.add_argument("--max-events", metavar="N", help="keep the newest N events")
        parser.add_argument(
            "--max-bytes",
            metavar="SIZE",
            help="keep the newest events whose JSON comes to this: 500M, 20G (of 1024)",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")
        parser.add_argument(
            "--batch",
            metavar="N",
            default="10000",
            help="events deleted in one transaction (default %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        keep = kept(options)
        if keep == Keep():
            raise CommandError("say what to keep: --older-than, --max-events or --max-bytes")
        batch = _option(options, "--batch", batch_size)
        assert batch is not None
        try:
            self._prune(keep, batch, dry_run=options["dry_run"])
        except psycopg.errors.LockNotAvailable as exc:
            raise CommandError(f"somebody holds a lock on the log: {_line(exc)}") from exc
        except psycopg.OperationalError as exc:
            raise CommandError(f"cannot reach the database: {_line(exc)}") from exc
        except psycopg.Error as exc:
            raise CommandError(f"the database refuses: {_line(exc)}; is it migrated?") from exc
        except KeyboardInterrupt as exc:
            raise CommandError("stopped; the next run goes on") from exc

    def _prune(self, keep: Keep, batch: int, *, dry_run: bool) -> None:
        began = time.monotonic()
        where = conninfo(application="attune pruneevents", direct=True)
        with psycopg.connect(where, autocommit=True) as conn:
            if not pruning.claim(conn):
                self.stdout.write("Another pruneevents is at work; did nothing.")
                return
            done = pruning.prune(conn, keep, batch=batch, dry_run=dry_run)
        self.stdout.write(_summary(done, time.monotonic() - began, dry_run=dry_run))


def kept(options: dict[str, Any]) -> Keep:
    """Return what the command's options say; raises CommandError naming a bad one."""
    return Keep(
        age=_option(options, "--older-than", age),
        events=_option(options, "--max-events", count),
        bytes=_option(options, "--max-bytes", size),
    )


def age(text: str) -> timedelta:
    """Return the time of `90m`, `36h` or `7d`; raises ValueError."""
    told = _AGE.fullmatch(text)
    if told is None:
        raise ValueError("not an age; use 90m, 36h or 7d")
    try:
        parsed = timedelta(**{_UNITS[told[2]]: int(told[1])})
    except OverflowError:
        parsed = timedelta.max
    if not timedelta(0) < parsed <= MAX_AGE:
        raise ValueError(f"out of range; use more than 0, up to {MAX_AGE.days}d")
    return parsed


def size(text: str) -> int:
    """Return the bytes of `1000`, `64K`, `500M` or `20G`; raises ValueError."""
    told = _SIZE.fullmatch(text)
    if told is None:
        raise ValueError("not a size; use bytes, or 64K, 500M, 20G")
    return int(told[1]) * _FACTORS[told[2].upper()]


def count(text: str) -> int:
    """Return a number from 0; raises ValueError."""
    if re.fullmatch(r"[0-9]{1,18}", text) is None:
        raise ValueError("not a number of events; use 0 or more")
    return int(text)


def batch_size(text: str) -> int:
    """Return a number of events that one transaction may delete; raises ValueError."""
    if re.fullmatch(r"[0-9]{1,18}", text) is None or not 1 <= int(text) <= MAX_BATCH:
        raise ValueError(f"out of range; use 1 to {MAX_BATCH}")
    return int(text)


def _option(options: dict[str, Any], name: str, parse: Callable[[str], T]) -> T | None:
    value = options[name.strip("-").replace("-", "_")]
    if value is None:
        return None
    try:
        return parse(str(value))
    except ValueError as exc:
        raise CommandError(f"{name}: {value!r} is {exc}") from exc


def _summary(done: Pruned, seconds: float, *, dry_run: bool) -> str:
    return (
        f"{'Would prune' if dry_run else 'Pruned'} {done.events} events, {done.bytes} bytes"
        f" in {seconds:.1f} s; the log begins after {done.floor_seq}."
    )


def _line(exc: psycopg.Error) -> str:
    """Return the error in one line."""
    return " ".join((exc.diag.message_primary or str(exc)).split()) or type(exc).__name__
