"""The command itself: its output passed on, signals forwarded, stopped when it is cancelled."""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import IO, Any

import psutil

from executions.tracking.record import Tail

CHUNK_BYTES = 64 * 1024  # the size of a pipe
STDOUT, STDERR = 1, 2
# Enough for a pipe as large as Linux allows. What was left behind may write for ever.
LAST_ROUNDS = 32
LOOK_SECONDS = 0.05  # how often to look whether what was told to end has
FORWARDED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# What a terminal sends to the command as well, which is in the same process group.
_BY_TERMINAL = (signal.SIGINT, signal.SIGQUIT)


class Signals:
    """Passes on what this process is sent to a child, for as long as the context lasts.

    Without a child they wait for one. `count`: those that came after its end, or without one.
    """

    def __init__(self) -> None:
        self.count = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        for number in FORWARDED:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
                self._before[number] = signal.signal(number, self._forward)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def to(self, child: subprocess.Popen[bytes]) -> None:
        self._child, self.count = child, 0
        for number in self._early:
            self._send(child, number)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        if self._child is None:
            self._early.append(number)
            self.count += 1
        elif self._child.returncode is not None:
            self.count += 1
        elif not (number in _BY_TERMINAL and _in_foreground()):
            self._send(self._child, number)

    def _send(self, child: subprocess.Popen[bytes], number: int) -> None:
        try:
            os.kill(child.pid, number)
        except ProcessLookupError:  # it has just ended
            self.count += 1
        except PermissionError:  # of another user by now, as `sudo` is
            pass


class Run:
    """A command that was started. Raises OSError where it cannot be."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], tail: Tail) -> None:
        self.child = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        self.cancelled = False
        self._tail = tail

    def wait(self) -> int:
        """Pass its output on until it ends; return how, as subprocess does.

        What processes that it leaves behind write later is not waited for.
        """
        ended, writing = os.pipe()
        waiting = threading.Thread(target=self._wait, args=(writing,), name="wait")
        waiting.start()
        assert self.child.stdout is not None and self.child.stderr is not None
        with (
            _woken_by_signals() as awake,
            selectors.DefaultSelector() as selector,
            self.child.stdout,
            self.child.stderr,
        ):
            selector.register(self.child.stdout, selectors.EVENT_READ, STDOUT)
            selector.register(self.child.stderr, selectors.EVENT_READ, STDERR)
            selector.register(ended, selectors.EVENT_READ)
            selector.register(awake, selectors.EVENT_READ)
            rounds = 0  # since the end
            while rounds < LAST_ROUNDS:
                events = [key for key, _ in selector.select()]
                ready = [key for key in events if key.data is not None]
                rounds += any(key.fileobj == ended for key in events)
                if any(key.fileobj == awake for key in events):
                    os.read(awake, CHUNK_BYTES)
                for key in ready:
                    assert not isinstance(key.fileobj, int)
                    if not self._pass_on(key.fileobj, key.data):  # type: ignore[arg-type]
                        selector.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[attr-defined]
                if rounds and not ready:  # it has ended, and nothing is left in the pipes
                    break
        waiting.join()
        os.close(ended)
        return self.child.returncode

    def cancel(self, *, grace_seconds: float) -> None:
        """Ask the command and all that it has started to end; kill what does not.

        What we may not signal goes on, and is then not `cancelled`.
        """
        if self.child.poll() is not None:
            return
        self.cancelled = True  # before it can have ended by that
        told = 0
        with suppress(psutil.Error):
            process = psutil.Process(self.child.pid)
            family = [process, *process.children(recursive=True)]
            for member in family:
                with suppress(psutil.Error):  # gone, or of another user, as under `sudo`
                    member.terminate()
                    told += 1
            self.cancelled = told > 0
            for member in _alive(family, grace_seconds):
                with suppress(psutil.Error):
                    member.kill()

    def _wait(self, writing: int) -> None:
        self.child.wait()
        os.close(writing)

    def _pass_on(self, pipe: IO[bytes], target: int) -> bool:
        """Pass on what has come; false where nothing more comes, or nobody takes it."""
        data = os.read(pipe.fileno(), CHUNK_BYTES)
        self._tail.add(data)
        try:
            _write(target, data)
        except OSError:  # our reader has gone; the command learns it in the same way
            return False
        return bool(data)


@contextmanager
def _woken_by_signals() -> Iterator[int]:
    """Yield what becomes readable with each signal.

    The kernel may hand a signal to any thread, but Python's handlers run in the main one, which
    would sleep on.
    """
    awake, waking = os.pipe()
    os.set_blocking(waking, False)
    before = signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    try:
        yield awake
    finally:
        signal.set_wakeup_fd(before)
        os.close(waking)
        os.close(awake)


def _alive(family: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Return which of these are still there after so many seconds, or none once it is so.

    Not psutil's own waiting, which would take the exit status from whoever waits for it.
    """
    ends = time.monotonic() + seconds
    while family and time.monotonic() < ends:
        time.sleep(LOOK_SECONDS)
        family = [process for process in family if _is_alive(process)]
    return family


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _write(target: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(target, left) :]
        except BlockingIOError:  # somebody else made it so
            select.select([], [target], [])


def _in_foreground() -> bool:
    """Say whether what is typed into our terminal reaches us."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
