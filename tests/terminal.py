"""A command on a terminal of its own, and what its screen shows."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import termios
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyte


class Terminal:
    """The screen of a command that runs under a pty."""

    def __init__(self, *, columns: int, rows: int) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.child: subprocess.Popen[bytes]
        self.master = -1

    @property
    def lines(self) -> list[str]:
        with self._lock:
            return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def cursor_is_hidden(self) -> bool:
        return self._screen.cursor.hidden

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def read(self) -> None:
        """Show what comes until the last process has closed the terminal."""
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # EIO is a terminal's end of file
                return
            if not data:
                return
            with self._lock:
                self._stream.feed(data)


@contextmanager
def on_terminal(
    command: Sequence[str], env: Mapping[str, str], *, columns: int = 90, rows: int = 24
) -> Iterator[Terminal]:
    """Run `command` in a session of its own, whose terminal is this one."""
    terminal = Terminal(columns=columns, rows=rows)
    terminal.master, slave = pty.openpty()
    size = {"COLUMNS": str(columns), "LINES": str(rows), "TERM": "xterm-256color"}
    reader = threading.Thread(target=terminal.read)
    try:
        terminal.child = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**env, **size},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        reader.start()
        yield terminal
    finally:
        terminal.child.terminate()
        terminal.child.wait()
        reader.join()
        os.close(terminal.master)
