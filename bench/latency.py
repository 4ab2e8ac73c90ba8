"""`python -m bench.latency`: from COMMIT to the client, over the whole path.

A writer makes changes on a schedule fixed in advance, whatever happens (so that a stall is
counted once for every change it delays), while streams in another process receive them. A
bare LISTEN connection receives the same commits beside them: what PostgreSQL alone takes.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

import psutil
import psycopg

from bench import machine
from bench.loadclient import LoadClient
from bench.receivers import Receipt, Received, bare, clock, received
from bench.servers import get
from bench.stack import bench_stack
from executions.eventlog import CHANNEL
from tests.servers import SERVERS, Stack

WARMUP_SECONDS = 2.0  # counted for losses, not for times
GRACE_SECONDS = 3.0  # what has not come by then is lost
STREAM_PATH = "/api/v1/executions/stream"
TARGET_MS = {"p50": 5.0, "p99": 20.0}

_INSERT = "INSERT INTO attune.execution (action_ref) VALUES ('bench.latency') RETURNING id, version"
_UPDATE = "UPDATE attune.execution SET status = %s, result = %s WHERE id = %s RETURNING id, version"
_LIFE = ("scheduling", "scheduled", "running", "completed")
_RESULT = json.dumps({"message": "schöne Grüße ✅", "duration_ms": 1234, "rows": [1, 2, 3]})


@dataclass(frozen=True, slots=True)
class Commit:
    """One change; times in seconds of `clock`."""

    execution: int
    version: int
    scheduled: float
    committed: float


@dataclass
class Run:
    """All that was measured. CPU in seconds."""

    options: dict[str, float]
    commits: list[Commit]
    clients: Received
    listener: Received
    web_cpu: float
    worker_cpu: float
    machine_share: float  # of all cores
    seconds: float


Times = dict[str, float]


def main() -> int:
    options = _options()
    with bench_stack(server=options.server) as stack:
        run = measure(stack, count=options.streams, rate=options.rate, seconds=options.seconds)
    missing = lost(run)
    print(report(run, missing))
    if options.json:
        options.json.write(json.dumps(asdict(run)))
    return 1 if missing or run.clients.odd_frames else 0


def lost(run: Run) -> int:
    """Return how many deliveries never came."""
    arrived = {(receipt.receiver, *_change(receipt)) for receipt in run.clients.receipts}
    return len(run.commits) * int(run.options["streams"]) - len(arrived)


def from_scheduled(run: Run) -> tuple[Times, Times]:
    """Return the latencies, in ms, of the clients and of the bare LISTEN, after the warm-up."""
    begin = run.commits[0].scheduled + WARMUP_SECONDS
    since = {(c.execution, c.version): c.scheduled for c in run.commits if c.scheduled >= begin}
    return _percentiles(_waits(run.clients, since)), _percentiles(_waits(run.listener, since))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--server", choices=sorted(SERVERS), default="uvicorn")
    parser.add_argument("--streams", type=_positive(int), default=100)
    parser.add_argument("--rate", type=_positive(float), default=20.0, help="changes a second")
    parser.add_argument("--seconds", type=_positive(float), default=30.0)
    parser.add_argument("--json", type=argparse.FileType("w"), help="write all raw times here")
    return parser.parse_args()


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
        return value

    return parse


def measure(stack: Stack, *, count: int, rate: float, seconds: float) -> Run:
    """Receive in two processes, write in this one; the streams on another core than the server.

    The server wakes their client, and the kernel likes to run who is woken on the core of
    whoever woke it: there the client waits until the server has written to all the others,
    0.8 ms in every other round (`perf sched timehist`). A client on another machine does not.
    """
    web, worker = (stack.processes[name].pid for name in ("web", "worker"))
    request = get(STREAM_PATH, port=stack.web_port, headers=_bearer(stack))
    with (
        LoadClient(stack.web_port) as clients,
        _process(bare, stack.database_url, CHANNEL) as listener,
        stack.sql() as conn,
    ):
        machine.pin(machine.tree(web), machine.SERVER_CORES)
        machine.pin([clients.pid], machine.OTHER_CORES)
        assert listener.recv() == "ready"
        clients.open([request] * count)
        clients.record(int((WARMUP_SECONDS + seconds) * rate + 1) * count)
        clients.report()  # opening is not measured
        web_cpu, worker_cpu = machine.cpu_seconds([web]), machine.cpu_seconds([worker])
        began = clock()
        psutil.cpu_percent()
        commits = list(_write(conn, rate=rate, seconds=WARMUP_SECONDS + seconds))
        time.sleep(GRACE_SECONDS)
        share = psutil.cpu_percent() / 100
        listener.send("stop")
        log = conn.execute("SELECT seq, execution, version FROM attune.execution_event")
        return Run(
            {"streams": count, "rate": rate, "seconds": seconds},
            commits,
            received(clients, log.fetchall()),
            listener.recv(),
            machine.cpu_seconds([web]) - web_cpu,
            machine.cpu_seconds([worker]) - worker_cpu,
            share,
            clock() - began,
        )


def _bearer(stack: Stack) -> dict[str, str]:
    return {"Authorization": f"Bearer {stack.token()}"}


@contextmanager
def _process(target: Callable[..., None], *args: Any) -> Iterator[Connection]:
    """Run `target` in a fresh interpreter, with our end of a pipe to it."""
    spawn = multiprocessing.get_context("spawn")
    ours, its = spawn.Pipe()
    process = spawn.Process(target=target, args=(its, *args), daemon=True)
    process.start()
    its.close()  # so that its death is our EOFError
    try:
        yield ours
    finally:
        ours.close()
        process.terminate()
        process.join()


def _write(conn: psycopg.Connection[Any], *, rate: float, seconds: float) -> Iterator[Commit]:
    """Make changes at `rate`, each at its time or as soon after it as the one before is done."""
    begin = clock()
    execution = 0
    for number in range(int(rate * seconds)):
        scheduled = begin + number / rate
        time.sleep(max(0.0, scheduled - clock()))
        step = number % (len(_LIFE) + 1)
        if step == 0:
            cursor = conn.execute(_INSERT)
        else:
            status = _LIFE[step - 1]
            result = _RESULT if status == "completed" else None
            cursor = conn.execute(_UPDATE, [status, result, execution])
        committed = clock()  # in autocommit, execute() returns after the COMMIT
        execution, version = cursor.fetchone() or (0, 0)
        yield Commit(execution, version, scheduled, committed)


def report(run: Run, missing: int) -> str:
    """Return the figures as Markdown."""
    return "\n".join([_deliveries(run, missing), "", *_times_table(run), "", *_cpu_table(run)])


def _deliveries(run: Run, missing: int) -> str:
    received = len(run.clients.receipts)
    count, rate, seconds = run.options["streams"], run.options["rate"], run.options["seconds"]
    twice = received + missing - int(count) * len(run.commits)
    odd = "".join(f"\nUnexpected: {frame!r}" for frame in run.clients.odd_frames)
    return (
        f"{count:g} streams, {rate:g} changes/s for {seconds:g} s on {os.cpu_count()} cores:"
        f" {received} deliveries, **{missing} lost**, {twice} twice{odd}"
    )


def _times_table(run: Run) -> list[str]:
    begin = run.commits[0].scheduled + WARMUP_SECONDS
    measured = [c for c in run.commits if c.scheduled >= begin]
    committed = {(c.execution, c.version): c.committed for c in measured}
    notified = {k: r.at for r in run.listener.receipts if (k := _change(r)) in committed}
    client = _percentiles(_waits(run.clients, committed))
    late, bare_late = from_scheduled(run)
    missed = [f"{name} {client[name]:.2f}" for name, ms in TARGET_MS.items() if client[name] > ms]
    return [
        "| ms | p50 | p90 | p99 | max |",
        "|---|--:|--:|--:|--:|",
        _row("COMMIT returned → client", client),
        _row("scheduled → client", late),
        # About nothing: PostgreSQL sends both at the same moment. So compare from the start.
        _row("COMMIT returned → bare LISTEN", _percentiles(_waits(run.listener, committed))),
        _row("scheduled → bare LISTEN", bare_late),
        _row("bare LISTEN → client", _percentiles(_waits(run.clients, notified))),
        _row("client / bare LISTEN, from scheduled (×)", {k: late[k] / bare_late[k] for k in late}),
        "",
        "Target of COMMIT returned → client: "
        + ", ".join(f"{name} ≤ {ms:g} ms" for name, ms in TARGET_MS.items())
        + (f"; MISSED: {', '.join(missed)}" if missed else "; met"),
    ]


def _cpu_table(run: Run) -> list[str]:
    deliveries, changes = len(run.clients.receipts), len(run.commits)
    web, worker = run.web_cpu, run.worker_cpu
    return [
        "| process | CPU a delivery | CPU a change | share of a core |",
        "|---|--:|--:|--:|",
        *(
            f"| {name} | {cpu / deliveries * 1e6:.1f} µs | {cpu / changes * 1e3:.2f} ms |"
            f" {cpu / run.seconds:.0%} |"
            for name, cpu in (("web", web), ("worker", worker))
        ),
        # Far from a whole core: the receivers are not what is measured.
        f"| all clients | | | {run.clients.cpu_share:.0%} |",
        f"| bare LISTEN | | | {run.listener.cpu_share:.0%} |",
        f"| machine | | | {run.machine_share:.0%} of all cores |",
    ]


def _change(receipt: Receipt) -> tuple[int, int]:
    return receipt.execution, receipt.version


def _waits(received: Received, since: dict[tuple[int, int], float]) -> list[float]:
    """Return the ms from the times in `since` to the receipts of those changes."""
    return [
        (receipt.at - since[change]) * 1000
        for receipt in received.receipts
        if (change := _change(receipt)) in since
    ]


def _percentiles(values: list[float]) -> Times:
    ordered = sorted(values) or [math.nan]
    # Nearest rank: a figure that was really measured.
    ranks = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: ordered[math.ceil(share * len(ordered)) - 1] for name, share in ranks.items()}


def _row(name: str, times: Times) -> str:
    return f"| {name} | " + " | ".join(f"{value:.2f}" for value in times.values()) + " |"


if __name__ == "__main__":
    sys.exit(main())
