"""What every process takes, looked at from time to time by a thread."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from types import TracebackType

import httpx
import psutil
import psycopg

from bench.faults.system import System
from bench.soak.flat import MIB
from tests.servers import metric_in

MEBIBYTE = 1024 * 1024
TASKS_OF_A_STREAM = 3  # so that clients which come and go are no growth
_CONNECTIONS = """
    SELECT coalesce(nullif(application_name, ''), 'requests'), count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() GROUP BY 1
"""
# As they name themselves to PostgreSQL; the writers are ours.
APPLICATIONS = ("attune hub", "attune worker", "requests")


class Sampler:
    """`series`: (seconds since the start, value) by the name of the figure."""

    def __init__(self, system: System, *, every_seconds: float) -> None:
        self.series: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self.cpu_seconds: dict[int, float] = {}
        self._system = system
        self._every = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="samples")
        self._began = time.monotonic()

    def __enter__(self) -> Sampler:
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

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            now = time.monotonic() - self._began
            for name, value in self._look().items():
                self.series[name].append((now, value))

    def _look(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, process in self._system.processes.items():
            found |= self._process(name, process.pid)
        for look in (self._redis, self._postgres, self._connections, self._web):
            try:
                found |= look()
            except (psutil.Error, psycopg.Error, httpx.HTTPError, OSError, AssertionError):
                continue  # is away just now, which is what the faults are for
        return found

    def _process(self, name: str, pid: int) -> dict[str, float]:
        try:
            process = psutil.Process(pid)
            times = process.cpu_times()
            self.cpu_seconds[pid] = times.user + times.system
            memory = process.memory_full_info()
            return {
                f"{name} PSS {MIB}": memory.pss / MEBIBYTE,
                f"{name} RSS {MIB}": memory.rss / MEBIBYTE,
                f"{name} descriptors": process.num_fds(),
                f"{name} threads": process.num_threads(),
            }
        except psutil.Error:
            return {}  # killed while we looked

    def _redis(self) -> dict[str, float]:
        return self._process("redis", self._system.redis.pid)

    def _postgres(self) -> dict[str, float]:
        """All its processes together, without the memory that they share."""
        lines = (self._system.cluster.postgres.data / "postmaster.pid").read_text().splitlines()
        postmaster = psutil.Process(int(lines[0]))
        total = postmaster.memory_full_info().uss
        number, descriptors = 1, postmaster.num_fds()
        for child in postmaster.children(recursive=True):
            try:
                total += child.memory_full_info().uss
                descriptors += child.num_fds()
                number += 1
            except psutil.Error:
                continue  # a backend that has ended
        return {
            f"postgres private {MIB}": total / MEBIBYTE,
            "postgres processes": number,
            "postgres descriptors": descriptors,
        }

    def _connections(self) -> dict[str, float]:
        with self._system.sql() as conn:
            rows = dict(conn.execute(_CONNECTIONS).fetchall())
        return {f"connections of {name}": rows.get(name, 0) for name in APPLICATIONS}

    def _web(self) -> dict[str, float]:
        """What the web process that lives through all of it says of itself."""
        url = "http://{}:{}/metrics".format(*self._system.addresses[0])
        text = httpx.get(url, timeout=2).text
        streams, tasks = (metric_in(text, f"attune_{name}") for name in ("streams", "tasks"))
        descriptors = psutil.Process(self._system.processes["web0"].pid).num_fds()
        return {
            "web0 streams": streams,
            "web0 tasks beside streams": tasks - TASKS_OF_A_STREAM * streams,
            "web0 descriptors beside streams": descriptors - streams,
        }
