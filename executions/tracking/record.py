"""What is to be said of one run of a command: for the row, and for a file meanwhile. Pure."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from executions.status import Status

# As a JSON text six times that at the most, which is below what a stream carries by default.
OUTPUT_BYTES = 8 * 1024
NOT_FOUND, NOT_EXECUTABLE = 127, 126  # the exit statuses that shells have for these
_TIMES = ("created", "started", "finished")


@dataclass(slots=True)
class Record:
    """A run as far as it has got. `id` is set once the database has given one."""

    action_ref: str
    config: dict[str, Any]
    created: datetime
    parent: int | None = None
    id: int | None = None
    started: datetime | None = None
    finished: datetime | None = None
    status: str = Status.REQUESTED
    result: dict[str, Any] | None = None

    def start(self, now: datetime) -> None:
        self.started, self.status = now, Status.RUNNING

    def finish(self, now: datetime, code: int, output: Tail, *, cancelled: bool) -> None:
        """Take note of the end; `code` as subprocess has it: negative for a signal."""
        ended = Status.COMPLETED if code == 0 else Status.FAILED
        self.result = {
            "exit_code": exit_code(code),
            "signal": _signal_name(-code) if code < 0 else None,
            "duration_seconds": round((now - (self.started or now)).total_seconds(), 3),
            "output": output.text,
            "output_truncated": output.is_cut,
        }
        # Last: with `finished` the other thread takes it for complete.
        self.status = Status.CANCELLED if cancelled else ended
        self.finished = now

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=datetime.isoformat)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read it again; raises ValueError, KeyError or TypeError for anything else."""
        data = json.loads(text)
        times = {name: data[name] and datetime.fromisoformat(data[name]) for name in _TIMES}
        return cls(**{**data, **times})


@dataclass(slots=True)
class Tail:
    """The last bytes of an output."""

    most: int = OUTPUT_BYTES
    is_cut: bool = False
    _kept: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > self.most:
            del self._kept[: len(self._kept) - self.most]
            self.is_cut = True

    @property
    def text(self) -> str:
        """The text, as PostgreSQL takes it: no NUL, and no half of a character in front."""
        kept = bytes(self._kept)
        if self.is_cut:
            kept = re.sub(rb"\A[\x80-\xbf]{1,3}", b"", kept)
        return kept.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def exit_code(code: int) -> int:
    """Return what a shell would say: 128 and its number for a signal."""
    return 128 - code if code < 0 else code


def shell_ref(program: str) -> str:
    """Return the `action_ref` of a program that nobody gave one: `shell.rsync`."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", os.path.basename(program)).strip("-.")
    return f"shell.{name[:200] or 'command'}"


def texts(arguments: Sequence[str]) -> list[str]:
    """Return the arguments as PostgreSQL takes them, also those that are not UTF-8."""
    return [os.fsencode(argument).decode(errors="replace") for argument in arguments]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals, most of which have no name
        return f"SIG{number}"
