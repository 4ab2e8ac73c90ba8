"""Streams on one server, and runs on them: publish on schedule, count what arrives."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench import machine, pacing
from bench.histogram import Histogram
from bench.loadclient import LoadClient, Window
from bench.servers import Server

LOOK_SECONDS = 0.25
QUIET_SECONDS = 1.5  # what has not come after such a silence is lost
GRACE_SECONDS = 15.0
SETTLE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Run:
    """One run. CPU in seconds and only the server's; `rate` in changes a second."""

    server: str
    clients: int
    rate: float
    seconds: float
    changes: int
    deliveries: int
    lost: int
    twice: int
    ended: int  # streams that broke off
    deliveries_per_second: float  # while changes were made
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    server_cpu: float
    server_share: float  # of a core
    client_share: float  # of a core: the load client's own
    late_ms: float  # by how much the writer was behind its schedule, at the most
    memory_mib: float
    histogram: list[tuple[int, int]]
    p99_by_time: list[float]  # one a LOOK_SECONDS, ms

    @property
    def cpu_us(self) -> float:
        """The server's CPU per delivery, in microseconds."""
        return self.server_cpu / self.deliveries * 1e6 if self.deliveries else float("nan")

    @property
    def whole(self) -> bool:
        """Everything arrived, once."""
        return self.lost == 0 and self.twice == 0 and self.ended == 0


class Session:
    """Open streams to one server."""

    def __init__(self, server: Server, clients: Sequence[LoadClient], streams: int) -> None:
        self.server = server
        self.streams = streams
        self._clients = clients

    def run(self, *, rate: float, seconds: float, each: float | None = None) -> Run:
        """Make changes for so long. `each`: streams that a change goes to; None: all."""
        self.report()
        cpu, began = machine.cpu_seconds(self.server.pids), time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(pacing.run, self.server.publish, rate=rate, seconds=seconds)
            during = [self._look()]
            while not writing.done():
                during.append(self._look())
            published = writing.result()
        expected = round(published.changes * (self.streams if each is None else each))
        after = self._drain(expected - sum(window.frames for window in during))
        cpu, lasted = machine.cpu_seconds(self.server.pids) - cpu, time.monotonic() - began
        return self._result(rate, published, expected, (during, after), cpu, lasted)

    def watch(self, seconds: float) -> tuple[list[Window], float]:
        """Change nothing; return what came, and the server's CPU seconds meanwhile."""
        cpu, until = machine.cpu_seconds(self.server.pids), time.monotonic() + seconds
        self.report()
        windows = []
        while time.monotonic() < until:
            windows.append(self._look())
        return windows, machine.cpu_seconds(self.server.pids) - cpu

    def report(self) -> Window:
        """Return what came at all clients since the last report, as one window."""
        return add_up([client.report() for client in self._clients])

    def _look(self) -> Window:
        time.sleep(LOOK_SECONDS)
        return self.report()

    def _drain(self, missing: int) -> list[Window]:
        """Wait for what is on its way."""
        windows: list[Window] = []
        began = heard = time.monotonic()
        while missing > 0 and time.monotonic() < min(began + GRACE_SECONDS, heard + QUIET_SECONDS):
            windows.append(self._look())
            missing -= windows[-1].frames
            if windows[-1].frames:
                heard = time.monotonic()
        return windows

    def _result(
        self,
        rate: float,
        published: pacing.Published,
        expected: int,
        windows: tuple[list[Window], list[Window]],
        cpu: float,
        lasted: float,
    ) -> Run:
        during, after = windows
        latency = Histogram()
        for window in during + after:
            latency.add(window.latency)
        frames, twice = (
            sum(getattr(window, name) for window in during + after) for name in ("frames", "twice")
        )
        client_cpu = sum(window.cpu_seconds for window in during)
        return Run(
            server=self.server.name,
            clients=self.streams,
            rate=rate,
            seconds=published.seconds,
            changes=published.changes,
            deliveries=frames,
            lost=expected - (frames - twice),
            twice=twice,
            ended=sum(window.ended for window in during + after),
            deliveries_per_second=sum(w.frames for w in during) / sum(w.seconds for w in during),
            p50_ms=latency.percentile_ms(0.5),
            p90_ms=latency.percentile_ms(0.9),
            p99_ms=latency.percentile_ms(0.99),
            max_ms=latency.percentile_ms(1.0),
            server_cpu=cpu,
            server_share=cpu / lasted,
            client_share=client_cpu / sum(window.seconds for window in during),
            late_ms=published.late_seconds * 1000,
            memory_mib=machine.private_bytes(self.server.pids) / machine.MIB,
            histogram=latency.pairs,
            p99_by_time=[window.latency.percentile_ms(0.99) for window in during],
        )


def add_up(windows: Sequence[Window]) -> Window:
    """Return one window for all clients: counts and CPU added, `seconds` of the longest. Pure."""
    latency = Histogram()
    for window in windows:
        latency.add(window.latency)
    longest = ("seconds", "goal_seconds")
    values = {
        name: (max if name in longest else sum)(getattr(window, name) for window in windows)
        for name in Window.__dataclass_fields__
        if name not in ("latency", "controls")
    }
    controls = " ".join(window.controls for window in windows).strip()
    return Window(latency=latency, controls=controls, **values)


@contextmanager
def session_on_ports(server: Server, ports: Sequence[int], streams: int) -> Iterator[Session]:
    """Open the streams, spread evenly over the ports, each with a client of its own."""
    with ExitStack() as stack:
        clients = []
        for port in ports:
            client = stack.enter_context(LoadClient(port, first_event=server.first_event))
            client.open([server.request()] * (streams // len(ports)))
            clients.append(client)
        time.sleep(SETTLE_SECONDS)
        yield Session(server, clients, streams)


@contextmanager
def session(
    server: Server, streams: int, *, requests: Sequence[bytes] | None = None, at_once: int = 64
) -> Iterator[Session]:
    """Open the streams (without a filter, or what `requests` ask for), for a while."""
    with LoadClient(server.port, first_event=server.first_event) as client:
        client.open(requests or [server.request()] * streams, at_once=at_once)
        time.sleep(SETTLE_SECONDS)
        yield Session(server, [client], streams)
