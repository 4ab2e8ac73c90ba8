"""The peers in Python: a bare writer, sse-starlette and django-eventstream."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from attune.local.processes import spawn, stop
from bench import machine
from bench.loadclient import BUILD
from bench.peers.publisher import Publisher
from bench.servers import Server, get, payload
from tests.servers import PROJECT, wait_for

REQUIREMENTS = PROJECT / "requirements-bench-peers.txt"
VENV = BUILD / "peers"  # of their own: they pin what we pin otherwise
PYTHON = VENV / "bin" / "python"
_APPS = Path(__file__).parent / "apps"
_UVICORN = ("-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--lifespan", "off")
_QUIET = ("--log-level", "warning", "--no-access-log", "--backlog", "4096")


@dataclass(frozen=True, slots=True)
class Program:
    """How to start a peer. `module`: what the peers' environment must have for it."""

    name: str
    module: str | None
    command: tuple[str, ...]


RAW = Program("raw uvloop writer", None, (str(_APPS / "raw_writer.py"),))
STARLETTE = Program(
    "sse-starlette", "sse_starlette", (*_UVICORN, *_QUIET, "starlette_app:application", "--fd")
)
EVENTSTREAM = Program(
    "django-eventstream",
    "django_eventstream",
    (*_UVICORN, *_QUIET, "eventstream_app:application", "--fd"),
)
PROGRAMS = (RAW, STARLETTE, EVENTSTREAM)


class PythonPeer:
    first_event = None

    def __init__(self, name: str, port: int, pid: int) -> None:
        self.name = name
        self.port = port
        self.pids = [pid]
        self._publisher = Publisher(port, "/publish")
        self._seq = 0

    def request(self, query: str = "", *, cursor: str | None = None) -> bytes:
        return get("/stream", port=self.port)

    def publish(self, due: int, changes: int) -> None:
        first, self._seq = self._seq + 1, self._seq + changes
        self._publisher.post([b"\n".join(payload(n, due) for n in range(first, self._seq + 1))])


def install() -> None:
    """Make the environment and install what `requirements-bench-peers.txt` pins."""
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)


def has(module: str) -> bool:
    if not PYTHON.exists():
        return False
    look = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([str(PYTHON), "-c", look]).returncode == 0


@contextmanager
def running(program: Program, new_folder: Callable[[], Path]) -> Iterator[Server]:
    """Run the peer on the server's core."""
    folder = new_folder()
    python = str(PYTHON) if program.module else sys.executable
    folder.mkdir()
    log = folder / "log"
    with socket.socket() as listening, log.open("wb") as output:
        listening.bind(("127.0.0.1", 0))
        listening.listen(4096)
        port = int(listening.getsockname()[1])
        process = spawn(
            [python, *program.command, str(listening.fileno())],
            env={**os.environ, "PYTHONPATH": str(_APPS)},
            output=output,
            pass_fds=(listening.fileno(),),
        )
    try:
        machine.pin([process.pid], machine.SERVER_CORES)
        peer = PythonPeer(program.name, port, process.pid)
        wait_for(lambda: _publishes(peer), f"{program.name} to answer:\n{log.read_text()}")
        yield peer
    finally:
        stop(process, seconds=5.0)


def _publishes(peer: PythonPeer) -> bool:
    peer.publish(0, 1)
    return True
