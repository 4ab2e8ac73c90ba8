"""The product's own processes, started for a test as a deployment would."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from attune.local.processes import spawn, stop

PROJECT = Path(__file__).resolve().parent.parent
WAIT_SECONDS = 20.0
TOKEN_SECONDS = 240.0  # of the hour that one is good for: nobody is handed an old one
APPLICATION = "attune.asgi:application"
SERVERS = {
    "daphne": ["daphne", "-v", "0"],
    "uvicorn": ["uvicorn", "--log-level", "warning", "--lifespan", "off"],
}
# The same, with their access logs.
LOGGING_SERVERS = {
    "daphne-logging": ["daphne", "-v", "1"],
    "uvicorn-logging": ["uvicorn", "--lifespan", "off"],
}


def wait_for(condition: Callable[[], Any], what: str, *, seconds: float = WAIT_SECONDS) -> Any:
    """Return the first true value of `condition`; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.01)


def metric_in(exposition: str, name: str) -> float:
    """Return a metric without labels out of what `/metrics` says."""
    lines = exposition.splitlines()
    return next(float(line.split()[1]) for line in lines if line.split()[0] == name)


def free_port() -> int:
    """Return a port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Process:
    """A running child, with what it has written so far."""

    name: str
    child: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self.child.pid

    def stop(self) -> int:
        return stop(self.child, seconds=10.0)

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()


@dataclass
class Stack:
    """A database with a worker and a web server on it."""

    database_url: str
    folder: Path
    env: dict[str, str]
    web_port: int = 0
    processes: dict[str, Process] = field(default_factory=dict)
    tokens: dict[tuple[int, str], tuple[float, str]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def stream_url(self) -> str:
        return f"{self.url}/api/v1/executions/stream"

    def sql(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection as any writer would: plain, without our search path."""
        return psycopg.connect(self.database_url, autocommit=True)

    def start_worker(self, name: str = "worker", **env: str) -> Process:
        return self._spawn(name, [sys.executable, "manage.py", "runworker"], env)

    def start_web(self, *, server: str = "daphne", port: int = 0, **env: str) -> Process:
        """Start daphne or uvicorn on `port`, or on one of its own, which every start changes."""
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Inherited. uvicorn, which sets it on its own ports, takes this one for a Unix socket.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listening.bind(("127.0.0.1", port))
            listening.listen(1024)
            self.web_port = listening.getsockname()[1]
            fd = str(listening.fileno())
            command = [
                sys.executable,
                "-m",
                *(SERVERS | LOGGING_SERVERS)[server],
                "--fd",
                fd,
                APPLICATION,
            ]
            return self._spawn("web", command, env, pass_fds=(listening.fileno(),))

    def wait_ready(self) -> None:
        def ready() -> bool:
            for process in self.processes.values():
                assert process.child.poll() is None, f"{process.name} ended:\n{process.output}"
            try:
                return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
            except httpx.HTTPError:
                return False

        wait_for(ready, "the stack to be ready")

    def metric(self, name: str) -> float:
        """Return a metric of the web process."""
        return metric_in(httpx.get(f"{self.url}/metrics", timeout=5).text, name)

    def token(self, username: str = "alice") -> str:
        """Sign in, once in a while: checking a password takes long on purpose."""
        key = (self.processes["web"].pid, username)
        made, token = self.tokens.get(key, (-math.inf, ""))
        if time.monotonic() - made > TOKEN_SECONDS:
            sign_in = {"username": username, "password": "secret"}
            url = f"{self.url}/api/v1/auth/token"
            answer = httpx.post(url, json=sign_in, timeout=WAIT_SECONDS)
            assert answer.status_code == 200, answer.text
            made, token = time.monotonic(), str(answer.json()["access"])
            self.tokens[key] = made, token
        return token

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.stop()
        self.processes.clear()

    def _spawn(
        self, name: str, command: list[str], env: dict[str, str], pass_fds: tuple[int, ...] = ()
    ) -> Process:
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            child = spawn(command, env={**self.env, **env}, output=output, pass_fds=pass_fds)
        process = self.processes[name] = Process(name, child, log)
        return process


# What starts one: the arguments of `running_stack` after the first two.
StartStack = Callable[..., Stack]


def product_env(database_url: str) -> dict[str, str]:
    """Return the environment of the product's processes on this database."""
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "attune.settings",
        "PYTHONPATH": str(PROJECT),
        "PYTHONUNBUFFERED": "1",
        # The product's children must not warn either.
        "PYTHONWARNINGS": "default",
    }


@contextmanager
def running_stack(
    database_url: str, folder: Path, *, server: str = "daphne", redis_url: str = "", **web: Any
) -> Iterator[Stack]:
    """Run a worker and a web server on the database, for as long as the context lasts.

    `web` is the web server's environment, beside that of both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    add_user(database_url, "alice")
    stack = Stack(database_url, folder, product_env(database_url))
    if redis_url:
        stack.env["REDIS_URL"] = redis_url
    try:
        stack.start_worker()
        stack.start_web(server=server, **web)
        stack.wait_ready()
        yield stack
    finally:
        stack.stop()


def add_user(
    database_url: str, username: str, *, password_text: str = "secret", **columns: Any
) -> int:
    """Insert a user and return its id."""
    values = {
        "username": username,
        "password": PBKDF2PasswordHasher().encode(password_text, "salt", iterations=1000),
        "is_active": True,
        "is_staff": False,
        "is_superuser": False,
        "first_name": "",
        "last_name": "",
        "email": "",
        "date_joined": "2026-01-01T00:00:00Z",
        **columns,
    }
    names = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    with psycopg.connect(database_url, autocommit=True) as conn:
        row = conn.execute(
            f"INSERT INTO attune.auth_user ({names}) VALUES ({marks}) RETURNING id",
            list(values.values()),
        ).fetchone()
    assert row is not None
    return int(row[0])


def add_demo(database_url: str) -> None:
    """Make sure of the user that the documents sign in as."""
    with suppress(psycopg.errors.UniqueViolation):
        add_user(database_url, "demo", password_text="demo")
