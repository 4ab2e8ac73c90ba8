"""The system under test: a database of its own, Redis, workers and web processes."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol
from uuid import uuid4

import httpx
import psutil
import psycopg
from psycopg import sql

from attune.local.processes import spawn
from attune.local.redis import EmbeddedRedis
from bench.faults.facts import Entry, Row
from tests.servers import (
    APPLICATION,
    PROJECT,
    SERVERS,
    Process,
    add_user,
    free_port,
    product_env,
    wait_for,
)

TEMPLATE = "faults_template"
READY_SECONDS = 30.0
MEMORY_SECONDS = 0.2  # between two looks at the web processes' memory
RESTRICTED_PACK = "vault"
PACKS = ("alpha", "beta", RESTRICTED_PACK)

# How each web server is told its address and its port.
ADDRESS = {"daphne": ("-b", "-p"), "uvicorn": ("--host", "--port")}

_END = """
    SELECT last_seq FROM attune.stream_state
    WHERE NOT EXISTS (SELECT FROM attune.execution_inbox)
"""
_STATE = "SELECT id, version, split_part(action_ref, '.', 1) FROM attune.execution"
_BACKENDS = """
    SELECT pid FROM pg_stat_activity
    WHERE application_name = %s AND datname = current_database()
"""
LOG = """
    SELECT seq, execution, version, op, split_part(action_ref, '.', 1), status, old_status,
        substring(event FROM '"enforcement":([0-9]+)')::bigint
    FROM attune.execution_event WHERE seq > %s ORDER BY seq
"""


class NotPossible(Exception):
    """The fault cannot be made on this machine; the message says why."""


class Server(Protocol):
    """What is asked of a PostgreSQL server."""

    @property
    def data(self) -> Path:
        """The folder of its data."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def url(self, database: str) -> str: ...
    def create_database(self, name: str, *, template: str = ...) -> None: ...


@dataclass
class Cluster:
    """PostgreSQL, and the name of a migrated database to clone.

    `notify`: adaptive makes workers change between waiting and polling all the time.
    """

    postgres: Server
    template: str = TEMPLATE
    notify: str = "always"

    def environment(self, database_url: str, **more: str) -> dict[str, str]:
        often = {"ATTUNE_POLL_EVENTS_PER_SECOND": "100"} if self.notify == "adaptive" else {}
        return environment(database_url, ATTUNE_NOTIFY=self.notify, **often, **more)

    def migrate(self) -> None:
        self.postgres.create_database(self.template)
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            # Settings want a Redis; migrating never asks for it.
            env=self.environment(self.postgres.url(self.template), REDIS_URL="redis://127.0.0.1"),
            cwd=PROJECT,
            check=True,
        )

    def clone(self) -> str:
        """Return the URL of a new database."""
        name = f"faults_{uuid4().hex[:12]}"
        self.postgres.create_database(name, template=self.template)
        return self.postgres.url(name)

    def drop(self, url: str) -> None:
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        with psycopg.connect(self.postgres.url("postgres"), autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(name))))


def environment(database_url: str, **more: str) -> dict[str, str]:
    """Return the environment of the product's processes."""
    env = product_env(database_url)
    return {
        # Only what is said here: the caller's own settings would be another system's.
        **{name: value for name, value in env.items() if not name.startswith("ATTUNE_")},
        "ATTUNE_SECRET_KEY": secrets.token_urlsafe(64),
        "ATTUNE_ALLOWED_HOSTS": "127.0.0.1",
        "ATTUNE_HTTPS": "false",
        # A client whose filter takes little learns the position from these.
        "ATTUNE_HEARTBEAT_SECONDS": "1",
        **more,
    }


@dataclass
class System:
    """Everything of one scenario; a context manager that leaves nothing running."""

    cluster: Cluster
    folder: Path
    server: str = "daphne"
    workers: int = 1
    webs: int = 1
    variables: dict[str, str] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    addresses: list[tuple[str, int]] = field(default_factory=list)  # of the web processes
    _own: psycopg.Connection[tuple[Any, ...]] | None = None

    def __enter__(self) -> System:
        self.redis = EmbeddedRedis(self.folder / "redis")
        self.database_url = self.cluster.clone()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for process in reversed(self.processes.values()):
            process.kill()
        self.redis.close()
        if self._own is not None:
            self._own.close()
        self.cluster.drop(self.database_url)

    def _start(self) -> None:
        data = str(self.folder / "var")
        urls = {"DATABASE_URL": self.database_url, **self.start_servers()}
        self.environment = self.cluster.environment(
            urls.pop("DATABASE_URL"), ATTUNE_DATA_DIR=data, **urls, **self.variables
        )
        add_user(self.database_url, "all", is_superuser=True)
        add_user(self.database_url, "outsider")
        with self.sql() as conn:
            for pack in PACKS:
                conn.execute(
                    "INSERT INTO attune.pack (ref, restricted) VALUES (%s, %s)",
                    [pack, pack == RESTRICTED_PACK],
                )
        for number in range(self.workers):
            self.start_worker(number)
        self.addresses += [self.address(number) for number in range(self.webs)]
        for number in range(self.webs):
            self.start_web(number)
        self.wait_ready()

    # --- where it runs ----------------------------------------------------------------------
    def start_servers(self) -> dict[str, str]:
        """Start what is needed beside the database; return what the processes are told of it."""
        self.redis.start()
        return {"REDIS_URL": self.redis.url}

    def place(self, name: str) -> list[str]:
        """Return what the command line of a process begins with."""
        return []

    def address(self, number: int) -> tuple[str, int]:
        """Return where a web process is to listen."""
        return "127.0.0.1", free_port()

    # --- processes --------------------------------------------------------------------------
    def start_worker(self, number: int = 0) -> Process:
        return self._spawn(f"worker{number}", [sys.executable, "-m", "django", "runworker"])

    def start_web(self, number: int = 0) -> Process:
        """Start a web process, on the port that it had before."""
        names, values = ADDRESS[self.server], map(str, self.addresses[number])
        address = [part for pair in zip(names, values, strict=True) for part in pair]
        command = [sys.executable, "-m", *SERVERS[self.server], *address]
        return self._spawn(f"web{number}", [*command, APPLICATION])

    def _spawn(self, name: str, command: list[str]) -> Process:
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            child = spawn([*self.place(name), *command], env=self.environment, output=output)
        process = self.processes[name] = Process(name, child, log)
        return process

    def wait_ready(self) -> None:
        def ready() -> bool:
            for process in self.processes.values():
                assert process.child.poll() is None, f"{process.name} ended:\n{process.output}"
            return all(self._answers(*address) for address in self.addresses)

        wait_for(ready, "the system to be ready", seconds=READY_SECONDS)

    def _answers(self, host: str, port: int) -> bool:
        try:
            return httpx.get(f"http://{host}:{port}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    # --- what is asked of it ----------------------------------------------------------------
    def sql(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection; the caller closes it."""
        return psycopg.connect(self.database_url, autocommit=True)

    def sql_when_up(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open one as soon as the server, which may be recovering from a crash, takes it."""

        def attempt() -> psycopg.Connection[tuple[Any, ...]] | None:
            with suppress(psycopg.OperationalError):
                return self.sql()
            return None

        conn: psycopg.Connection[tuple[Any, ...]] = wait_for(
            attempt, "PostgreSQL to have recovered", seconds=60
        )
        return conn

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask on a connection that is kept: what is tested may have taken all others."""
        if self._own is not None and not self._own.closed:
            try:
                return self._own.execute(query, values).fetchall()
            except psycopg.OperationalError:
                self._own.close()  # the database was restarted, for all we know
        self._own = self.sql()
        return self._own.execute(query, values).fetchall()

    def token(self, username: str) -> str:
        answer = httpx.post(
            "http://{}:{}/api/v1/auth/token".format(*self.addresses[0]),
            json={"username": username, "password": "secret"},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access"])

    def last_seq(self) -> int | None:
        """Return the end of the log once nothing waits to be sequenced, else None."""
        try:
            rows = self._rows(_END)
        except psycopg.OperationalError:
            return None  # not reachable just now
        return int(rows[0][0]) if rows else None

    def log_end(self) -> int:
        """Return the log's last seq as it is now."""
        return int(self._rows("SELECT last_seq FROM attune.stream_state")[0][0])

    def log(self, *, after: int) -> tuple[str, list[Entry]]:
        """Return the log's epoch, and what is in it after `after`."""
        ((epoch,),) = self._rows("SELECT epoch FROM attune.stream_state")
        return str(epoch), [Entry(*row) for row in self._rows(LOG, after)]

    def state(self) -> dict[int, Row]:
        """Return all executions as they are in the table."""
        return {row[0]: Row(row[1], row[2]) for row in self._rows(_STATE)}

    def backends(self, application: str) -> list[int]:
        """Return the process ids of the database's backends of one application."""
        return [row[0] for row in self._rows(_BACKENDS, application)]

    def web_bytes(self) -> int:
        """Return the memory of the web processes that are running (RSS)."""
        total = 0
        for name, process in self.processes.items():
            if name.startswith("web") and process.child.poll() is None:
                total += int(psutil.Process(process.pid).memory_info().rss)
        return total


class Memory:
    """Looks at the web processes' memory from time to time, in a thread, and keeps the peak."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory")
        self._start = self._peak = 0

    def __enter__(self) -> Memory:
        self._start = self._peak = self._system.web_bytes()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def growth_bytes(self) -> int:
        return max(0, self._peak - self._start)

    def _watch(self) -> None:
        while not self._stop.wait(MEMORY_SECONDS):
            try:
                self._peak = max(self._peak, self._system.web_bytes())
            except psutil.NoSuchProcess:
                continue  # killed while we looked
