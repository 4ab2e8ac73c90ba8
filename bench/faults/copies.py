"""A second PostgreSQL, on a copy of another one's data: a server for a host, or a standby."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import quote

import psycopg
from psycopg import sql

from attune.local.postgres import embedded_program
from attune.local.processes import spawn
from tests.servers import wait_for

START_SECONDS = 30.0
USER = "pgserver"  # as whom the wheel runs it, where we are root
_HBA = """
local all,replication all trust
host all,replication all 127.0.0.1/32 trust
host all,replication all {network} trust
"""


class CopiedPostgres:
    """A server on a Unix socket and on `host`:`port`; `close` it in the end.

    `place` is what its command line begins with, such as the way into a network namespace;
    `network` may connect.
    """

    def __init__(
        self, *, host: str, port: int, place: Sequence[str] = (), network: str = "127.0.0.1/32"
    ) -> None:
        self.host, self.port = host, port
        self._place = [*place]
        self._network = network
        self._folder = Path(tempfile.mkdtemp(prefix="attune-pg-"))
        self.data = self._folder / "data"
        self._child: subprocess.Popen[bytes] | None = None
        self._as_user: list[str] = []
        if os.geteuid() == 0:  # as which PostgreSQL does not run
            shutil.chown(self._folder, USER, USER)
            keeping = ["--clear-groups", "--pdeathsig", "TERM"]
            self._as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", *keeping]

    def copy(self, source: str, *, standby: bool = False, options: str = "") -> None:
        """Copy the whole server that the URL `source` leads to; as its standby, follow it."""
        program = str(embedded_program("pg_basebackup"))
        more = ["--write-recovery-conf"] if standby else []
        command = [program, f"--pgdata={self.data}", f"--dbname={source}", "--checkpoint=fast"]
        whole = [*self._as_user, *command, *more]
        done = subprocess.run(whole, cwd=self._folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"pg_basebackup failed: {done.stderr}")
        (self.data / "pg_hba.conf").write_text(_HBA.format(network=self._network))
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.write(options)

    def start(self) -> None:
        program = str(embedded_program("postgres"))
        address = ["-h", self.host, "-p", str(self.port), "-k", str(self._folder)]
        command = [program, "-D", str(self.data), *address]
        with (self._folder / "log").open("ab") as output:
            self._child = spawn([*self._place, *self._as_user, *command], output=output)
        wait_for(self._answers, "PostgreSQL to start", seconds=START_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop it fast, or by SIGQUIT as a crash does."""
        if self._child is not None:
            self._child.send_signal(number)
            self._child.wait(START_SECONDS)
            self._child = None

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder)

    def promote(self) -> None:
        """Make a standby a server of its own; returns when it takes writes."""
        self.sql("SELECT pg_promote()")

    def url(self, database: str) -> str:
        """Return the URL by its Unix socket, which is there in every network."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._folder))}&port={self.port}"

    def sql(self, query: LiteralString) -> list[tuple[Any, ...]]:
        """Ask the server itself, in its own database."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as conn:
            cursor = conn.execute(query)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, name: str, *, template: str = "template1") -> None:
        names = sql.Identifier(name), sql.Identifier(template)
        with psycopg.connect(self.url("postgres"), autocommit=True) as conn:
            conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))

    def _answers(self) -> bool:
        assert self._child is not None
        log = (self._folder / "log").read_text(errors="replace")
        assert self._child.poll() is None, f"PostgreSQL did not start: {log[-2000:]}"
        with suppress(psycopg.OperationalError):
            psycopg.connect(self.url("postgres")).close()
            return True
        return False
