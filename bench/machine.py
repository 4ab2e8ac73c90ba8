"""The machine: what it is, which cores do what, and what a process takes of it.

One core is the server's under test. All else (load client, PostgreSQL, Redis, worker, writers)
shares the others, so that the server's figures are its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

MIB = 1024 * 1024
BUSY_LOAD = 0.5
_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES = frozenset(_CORES[:1])
OTHER_CORES = frozenset(_CORES[1:] or _CORES)
ALL_CORES = frozenset(_CORES)


def prepare() -> None:
    """Take this process, and all that it will start, off the server's core; allow many files."""
    os.sched_setaffinity(0, OTHER_CORES)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def all_cores() -> Iterator[None]:
    """Let this process, and what it starts meanwhile, run everywhere."""
    os.sched_setaffinity(0, ALL_CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, OTHER_CORES)


def pin(pids: Iterable[int], cores: frozenset[int]) -> None:
    """Let these processes, with all their threads, run on `cores` only."""
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cores)


def tree(pid: int) -> list[int]:
    """Return the process and its descendants."""
    process = psutil.Process(pid)
    return [pid, *(child.pid for child in process.children(recursive=True))]


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return user and kernel time, threads that have ended included; raises OSError.

    By each process's own clock, to the nanosecond: /proc counts in hundredths of a second, which
    over 2,500 changes is 4 µs each.
    """
    return sum(time.clock_gettime(_cpu_clock(pid)) for pid in pids)


def _cpu_clock(pid: int) -> int:
    """Return a process's CPU clock; clock_getcpuclockid(3), which Python has for threads alone."""
    clock = ctypes.c_int()
    error = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise OSError(error, os.strerror(error))
    return clock.value


def private_bytes(pids: Iterable[int]) -> int:
    """Return the proportional set size: pages shared with others count by their share."""
    return sum(psutil.Process(pid).memory_full_info().pss for pid in pids)


def threads(pids: Iterable[int]) -> int:
    return sum(psutil.Process(pid).num_threads() for pid in pids)


def load() -> str:
    """Return the load of the last minute, with a word where somebody else is at work."""
    load = os.getloadavg()[0]
    return f"{load:.1f}" + (" (NOT IDLE: others compute here)" if load > BUSY_LOAD else "")


def describe(folder: Path, *, load_before: str) -> dict[str, str]:
    """Return what a reader has to know to judge the figures. No names, no addresses."""
    uname = platform.uname()
    return {
        "processor": _processor(),
        "cores": str(len(_CORES)),
        "load before the run": load_before,
        "memory": f"{psutil.virtual_memory().total / 1024 / MIB:.0f} GiB",
        "kernel": f"{uname.system} {uname.release.split('-')[0]}",
        "Python": platform.python_version(),
        "file system of the database": _file_system(folder),
        "open files": str(resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        "server's core": ", ".join(map(str, sorted(SERVER_CORES))),
        "all else": ", ".join(map(str, sorted(OTHER_CORES))),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _file_system(folder: Path) -> str:
    answer = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True)
    return answer.stdout.strip() or "unknown"
