"""`manage.py track -- COMMAND`: run a command as an execution."""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from executions.database import conninfo
from executions.positions import MAX_BIGINT
from executions.tracking import spool
from executions.tracking.record import (
    NOT_EXECUTABLE,
    NOT_FOUND,
    Record,
    Tail,
    exit_code,
    shell_ref,
    texts,
)
from executions.tracking.recorder import Recorder, Writer, abandon
from executions.tracking.run import Run, Signals

USAGE = 2
MOST_SECONDS = 7 * 86_400.0
PARENT = "ATTUNE_EXECUTION_ID"  # which the command, and a `track` below it, finds its own id in
FIRST_SECONDS = 2.0  # that the command waits at the most for its id
WAIT_SECONDS = 0.1  # how soon a signal ends the wait for the database
REF = re.compile(r"[a-z][a-z0-9_-]*\.[A-Za-z0-9_.-]{1,200}")


class Command(BaseCommand):
    help = (
        "Run a command as an execution: its output passes through, signals reach it, its exit"
        " status is kept. Without the database it runs all the same, and is recorded later."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--action", metavar="REF", help="pack.name; default shell.PROGRAM")
        parser.add_argument(
            "--parent", metavar="ID", help=f"the execution this belongs to (default: ${PARENT})"
        )
        parser.add_argument(
            "--grace",
            type=_seconds,
            default=10.0,
            metavar="SECONDS",
            help="between SIGTERM and SIGKILL, when it is cancelled (default %(default)g)",
        )
        parser.add_argument(
            "--patience",
            type=_seconds,
            default=60.0,
            metavar="SECONDS",
            help="how long to wait for the database after the end (default %(default)g); then the"
            " record is kept in a file, and written by a later `track`",
        )
        parser.add_argument("--flush", action="store_true", help="write such records, and no more")
        parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")

    def handle(self, *args: Any, **options: Any) -> None:
        command = options["command"]
        command = command[1:] if command[:1] == ["--"] else command
        if bool(command) == bool(options["flush"]):
            raise CommandError("give either -- COMMAND or --flush", returncode=USAGE)
        if options["flush"]:
            sys.exit(0 if self._flush() else 1)
        record = _new_record(command, options["action"], options["parent"])
        with Signals() as signals:
            code = self._track(command, record, signals, options)
        sys.exit(code)

    def _track(
        self, command: list[str], record: Record, signals: Signals, options: dict[str, Any]
    ) -> int:
        """Run the command, and see to its record; return its exit status."""
        writer = Writer(record, _conninfo())
        recorder = Recorder(writer, say=self._say, folder=settings.TRACK_FOLDER)
        recorder.start()
        recorder.tried.wait(FIRST_SECONDS)
        tail, cancelled = Tail(), False
        record.start(_now())
        try:
            run = Run(command, _environment(record.id), tail)
        except OSError as exc:
            code = NOT_FOUND if isinstance(exc, FileNotFoundError) else NOT_EXECUTABLE
            self._say(f"{command[0]}: {exc.strerror}")
            tail.add(f"{exc.strerror}\n".encode())
        else:
            signals.to(run.child)
            recorder.on_cancel(partial(run.cancel, grace_seconds=options["grace"]))
            recorder.wake()
            code, cancelled = run.wait(), run.cancelled
        record.finish(_now(), code, tail, cancelled=cancelled)
        recorder.wake()
        self._see_recorded(recorder, record, signals, options["patience"])
        return exit_code(code)

    def _see_recorded(
        self, recorder: Recorder, record: Record, signals: Signals, patience: float
    ) -> None:
        """Wait until it is recorded; after `patience` seconds, or a signal, keep it in a file."""
        ends = time.monotonic() + patience
        while not recorder.done.wait(WAIT_SECONDS):
            if signals.count or time.monotonic() > ends:
                break
        if recorder.done.is_set():
            self._flush()
            return
        try:
            path = spool.keep(settings.TRACK_FOLDER, record)
        except OSError as exc:
            self._say(f"not recorded, and not to be kept in a file ({exc}): {record.to_json()}")
        else:
            recorder.release()
            self._say(f"not recorded; kept in {path}; `manage.py track --flush` writes it")

    def _flush(self) -> bool:
        """Write what was kept in files; say whether nothing is left."""
        for path in (*spool.leased(settings.TRACK_FOLDER), *spool.kept(settings.TRACK_FOLDER)):
            try:
                with spool.taken(path) as record:
                    if record is not None:
                        self._write(record, path)
            except psycopg.OperationalError:
                break  # away, for the others, too
            except psycopg.Error:
                continue
        left = len(spool.kept(settings.TRACK_FOLDER))
        if left:
            self._say(f"{left} records are still kept in {settings.TRACK_FOLDER}")
        return not left

    def _write(self, record: Record, path: Path) -> None:
        if record.finished is None:  # a lease, and nobody holds it
            seen = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            abandon(record, _conninfo(), seen=seen)
            self._say(f"abandoned #{record.id}, whose `track` was killed")
            return
        with closing(Writer(record, _conninfo())) as writer:
            writer.write()
        self._say(f"recorded {record.action_ref} of {record.created}")

    def _say(self, line: str) -> None:
        with suppress(OSError):  # nobody listens; the command goes on
            self.stderr.write(f"attune: {line}")


def _new_record(command: Sequence[str], action: str | None, parent: str | None) -> Record:
    """Return the record of a run that is about to begin; raises CommandError for bad options."""
    if action is not None and not REF.fullmatch(action):
        raise CommandError(f"--action: {action!r} is not pack.name", returncode=USAGE)
    if parent is not None and _id(parent) is None:
        raise CommandError(f"--parent: {parent!r} is not an id", returncode=USAGE)
    config = {
        "command": texts(command),
        "directory": _directory(),
        "host": socket.gethostname(),
    }
    of = _id(os.environ.get(PARENT, "") if parent is None else parent)
    return Record(action or shell_ref(command[0]), config, _now(), parent=of)


def _directory() -> str | None:
    try:
        return texts([os.getcwd()])[0]
    except OSError:  # deleted under us
        return None


def _id(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(MAX_BIGINT)):
        return None
    return int(text) if 0 < int(text) <= MAX_BIGINT else None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MOST_SECONDS:  # also refuses nan
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds up to {MOST_SECONDS:g}"
        )
    return seconds


def _environment(execution: int | None) -> Mapping[str, str]:
    """Return our own environment, without what Django and manage.py have added to it."""
    env = {name: value for name, value in os.environ.items() if name not in ("TZ", PARENT)}
    if env.get("DJANGO_SETTINGS_MODULE") == "attune.settings":
        del env["DJANGO_SETTINGS_MODULE"]
    if settings.OUTER_TZ is not None:
        env["TZ"] = settings.OUTER_TZ
    if execution is not None:
        env[PARENT] = str(execution)
    return env


def _conninfo() -> str:
    return conninfo(application="attune track")


def _now() -> datetime:
    return datetime.now(UTC)
