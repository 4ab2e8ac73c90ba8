"""The load client: a small C program that holds the streams, driven from here.

C, because at saturation it has to take 700,000 frames of 400 bytes a second on the core that
it shares with the database and the writers, and take every frame of every stream apart: its
number (loss, repetition) and the time it was due. That leaves about a microsecond for a frame,
its share of the system calls included, which is not Python's league. That it is not the
bottleneck shows twice: by its own CPU share, printed with every run, and against
`bench/peers/apps/raw_writer.py`, from which it takes some millions of frames a second.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.histogram import Histogram
from tests.servers import PROJECT

SOURCES = sorted((Path(__file__).parent / "client").glob("*.[ch]"))
BUILD = PROJECT / "var" / "bench"
OPEN_SECONDS = 120.0
AWAKE_NS = 1_000_000  # far more than lies between two writes of one event


class LoadClientError(Exception):
    """The load client cannot be built, or not do what it was told."""


@dataclass(frozen=True, slots=True)
class Opened:
    """How opening went; `seconds` until the last was. `refusal`: the first answer without one."""

    open: int
    failed: int
    unanswered: int
    seconds: float
    refusal: str


class StreamCount(NamedTuple):
    """What one stream got since it was opened: numbers of the first and last event."""

    open: int
    first: int
    last: int
    events: int
    missing: int
    twice: int


@dataclass(frozen=True, slots=True)
class Window:
    """What all streams got since the last report. `at_goal` counts since `goal` was set."""

    seconds: float
    cpu_seconds: float
    live: int
    frames: int
    timed: int
    bytes: int
    reads: int
    heartbeats: int
    missing: int
    twice: int
    ended: int
    at_goal: int
    goal_seconds: float
    controls: str
    latency: Histogram


def build() -> Path:
    """Return the compiled program, compiled anew where the source has changed."""
    text = b"".join(path.read_bytes() for path in SOURCES)
    program = BUILD / f"sseclient-{hashlib.sha256(text).hexdigest()[:12]}"
    if program.exists():
        return program
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise LoadClientError("the load client is C: install gcc (Debian: apt-get install gcc)")
    BUILD.mkdir(parents=True, exist_ok=True)
    sources = [str(path) for path in SOURCES if path.suffix == ".c"]
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"]
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:  # another process may build as well
        unfinished = Path(folder) / program.name
        subprocess.run([compiler, *flags, "-o", str(unfinished), *sources], check=True)
        return unfinished.rename(program)


class LoadClient:
    """One process with its streams to one server. `first_event`: the name that opens one."""

    def __init__(self, port: int, *, first_event: str | None = "connected") -> None:
        self._process = subprocess.Popen(
            [str(build()), "127.0.0.1", str(port), first_event or "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> LoadClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        return self._process.pid

    def open(
        self, requests: Sequence[bytes], *, at_once: int = 64, seconds: float = OPEN_SECONDS
    ) -> Opened:
        """Open a stream for each request; raises LoadClientError where one is not opened."""
        opened = self.try_open(requests, at_once=at_once, seconds=seconds)
        if opened.open < len(requests):
            raise LoadClientError(f"{len(requests)} streams wanted: {opened}")
        return opened

    def try_open(self, requests: Sequence[bytes], *, at_once: int, seconds: float) -> Opened:
        """Open as many streams as can be opened in that time."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"".join(request + b"\0" for request in requests))
            file.flush()
            answer = self._ask(f"open {file.name} {at_once} {seconds}")
        return Opened(**answer)

    def report(self) -> Window:
        answer = self._ask("report")
        return Window(latency=Histogram(answer.pop("histogram")), **answer)

    def goal(self, seq: int) -> None:
        """Count from now on the streams that have come to this position."""
        self._ask(f"goal {seq}")

    def streams(self) -> list[StreamCount]:
        with tempfile.NamedTemporaryFile("r") as file:
            self._ask(f"streams {file.name}")
            return [StreamCount(*map(int, line.split())) for line in file]

    def record(self, most: int) -> None:
        """Note from now on when each event comes, up to so many, and look without a pause.

        So that no receipt is late. The server pays for waking the client, but only once an
        event: for a moment after each receipt the client does not sleep.
        """
        self._ask("pause 0")
        self._ask(f"awake {AWAKE_NS}")
        self._ask(f"record {most}")

    def receipts(self) -> Iterator[tuple[int, int, float]]:
        """Yield stream, position and the time in seconds of CLOCK_MONOTONIC, as recorded."""
        with tempfile.NamedTemporaryFile("rb") as file:
            self._ask(f"receipts {file.name}")
            for stream, seq, at in struct.iter_unpack("=QQq", file.read()):
                yield stream, seq, at / 1e9

    def close(self) -> None:
        """Close all streams; others can be opened then."""
        self._ask("close")

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(f"{command}\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError as exc:
            raise LoadClientError(f"the load client ended at: {command}") from exc
        if not line:
            raise LoadClientError(f"the load client ended at: {command}")
        answer: dict[str, Any] = json.loads(line)
        return answer
