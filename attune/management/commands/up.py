"""`manage.py up`: the whole of attune on this machine, in the processes of a deployment."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections
from psycopg.conninfo import conninfo_to_dict

from attune.local import banner
from attune.local.errors import LocalStackError
from attune.local.paths import PROJECT_DIR, LocalPaths, local_paths
from attune.local.processes import spawn, stop
from attune.local.stack import LocalStack

APPLICATION = "attune.asgi:application"
# Up to the host. uvicorn is not to believe X-Forwarded-For: anybody here could claim any address.
SERVERS = {
    "daphne": ["daphne", "-v", "0", "--no-server-name", "--bind"],
    "uvicorn": [
        *("uvicorn", "--log-level", "warning", "--lifespan", "off"),
        *("--no-proxy-headers", "--no-server-header", "--host"),
    ],
}
READY_SECONDS = 30.0
STOP_SECONDS = 10.0


class Command(BaseCommand):
    help = (
        "Run everything on this machine: PostgreSQL and Redis (where DATABASE_URL and"
        " REDIS_URL are not set), worker and web server. Ctrl-C stops all; data stays."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to serve on")
        parser.add_argument("--port", type=int, default=8080, help="port to serve on")
        parser.add_argument("--server", choices=sorted(SERVERS), default="daphne")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port, server = options["host"], options["port"], options["server"]
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        try:
            with _own_folder(local_paths()) as paths, LocalStack(paths) as stack:
                _check_port(host, port)
                self._run(stack, server, host, port)
        except LocalStackError as exc:
            raise CommandError(str(exc)) from exc
        except KeyboardInterrupt:
            self.stderr.write("Stopped; the data is kept.")

    def _run(self, stack: LocalStack, server: str, host: str, port: int) -> None:
        stack.start()
        demo = _prepare_database(stack)
        children = _start_children(stack, [*SERVERS[server], host, "--port", str(port)], host)
        try:
            _wait_ready(children, host, port)
            self.stdout.write(banner.text(f"http://{host}:{port}", stack, demo=demo))
            self.stdout.flush()
            _wait_for_end(children)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave some
            for process in reversed(children.values()):
                stop(process, seconds=STOP_SECONDS)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for once in (signal.SIGINT, signal.SIGTERM):
        signal.signal(once, signal.SIG_IGN)  # a second Ctrl-C would leave something running
    raise KeyboardInterrupt


@contextlib.contextmanager
def _own_folder(paths: LocalPaths) -> Iterator[LocalPaths]:
    """Create the data folder and make sure that nobody else runs on it."""
    try:
        paths.data.mkdir(parents=True, exist_ok=True)
        lock = paths.lock.open("a+")
    except OSError as exc:
        raise LocalStackError(
            f"cannot write to {paths.data} ({exc.strerror});"
            " set ATTUNE_DATA_DIR to a folder that you may write to"
        ) from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            lock.seek(0)
            raise LocalStackError(
                f"attune already runs on {paths.data} (process {lock.read().strip() or 'unknown'});"
                " stop that one, or set ATTUNE_DATA_DIR for a second one"
            ) from exc
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield paths


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as exc:
            raise LocalStackError(
                f"cannot serve on {host}:{port} ({exc}); free it, or choose another:"
                f" make run PORT={port + 1}"
            ) from exc


def _prepare_database(stack: LocalStack) -> bool:
    """Migrate; on our own database make sure of the demo user, and say whether it is there."""
    if stack.own_database:
        # The settings were read before the server chose where to put its socket.
        parts = conninfo_to_dict(stack.urls["DATABASE_URL"])
        connections["default"].settings_dict.update(NAME=parts["dbname"], HOST=parts["host"])
    try:
        call_command("migrate", verbosity=0, interactive=False)
        return stack.own_database and banner.ensure_demo_user()
    except DatabaseError as exc:
        raise LocalStackError(f"cannot prepare the database: {' '.join(str(exc).split())}") from exc
    finally:
        connections.close_all()


def _start_children(
    stack: LocalStack, server: list[str], host: str
) -> dict[str, subprocess.Popen[bytes]]:
    hosts = ",".join({*settings.ALLOWED_HOSTS, host})
    env = {**os.environ, **stack.urls, "ATTUNE_ALLOWED_HOSTS": hosts}
    web = [sys.executable, "-m", *server, APPLICATION]
    return {
        "worker": spawn([sys.executable, str(PROJECT_DIR / "manage.py"), "runworker"], env=env),
        "web server": spawn(web, env={**env, "PYTHONPATH": str(PROJECT_DIR)}),
    }


def _wait_ready(children: dict[str, subprocess.Popen[bytes]], host: str, port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not banner.answers_ready(host, port):
        _check_alive(children)
        if time.monotonic() > deadline:
            raise LocalStackError(
                f"not ready after {READY_SECONDS:g} s; http://{host}:{port}/readyz says why"
            )
        time.sleep(0.05)


def _wait_for_end(children: dict[str, subprocess.Popen[bytes]]) -> None:
    while True:
        _check_alive(children)
        time.sleep(0.5)


def _check_alive(children: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, process in children.items():
        if process.poll() is not None:
            raise LocalStackError(
                f"the {name} has ended with status {process.returncode}; see its output above"
            )
