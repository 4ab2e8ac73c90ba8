"""The faults. Each is a function that strikes once or several times while all run."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import redis

from bench.faults.trial import Trial
from bench.faults.writers import Step, connect

WORKER, HUB = "attune worker", "attune hub"  # as they name themselves to PostgreSQL
BACKEND_STOPPED_SECONDS = 14.0
BULK_ROWS = 100_000


# --- the worker -----------------------------------------------------------------------------
def kill_worker(trial: Trial) -> None:
    for _ in trial.rounds():
        trial.system.processes["worker0"].kill()
        trial.pause(0.1, 1.0)
        trial.system.start_worker(0)
        trial.mark()  # so its start is part of the time


def kill_either_worker(trial: Trial) -> None:
    for number in trial.rounds():
        trial.mark()  # the other one carries on
        trial.system.processes[f"worker{number % 2}"].kill()
        trial.pause(0.5, 1.5)
        trial.system.start_worker(number % 2)


def stop_worker(trial: Trial) -> None:
    """SIGSTOP: the connection stays open, and nobody reads it."""
    for _ in trial.rounds():
        with stopped(trial.system.processes["worker0"].pid):
            time.sleep(4.0)
        trial.mark()


def stop_either_worker(trial: Trial) -> None:
    for number in trial.rounds():
        trial.mark()
        with stopped(trial.system.processes[f"worker{number % 2}"].pid):
            time.sleep(4.0)
        trial.mark()


def stop_backend(trial: Trial) -> None:
    """SIGSTOP of all backends of the worker for longer than it waits for an answer.

    The worker can leave them, unless one was stopped within the sequencer: then it holds the lock,
    and PostgreSQL has no way to take that from it. So recovery counts from the end.
    """
    for _ in trial.rounds():
        with ExitStack() as stack:
            for backend in trial.system.backends(WORKER):
                stack.enter_context(stopped(backend))
            time.sleep(BACKEND_STOPPED_SECONDS / 2)
            half = trial.system.log_end()
            time.sleep(BACKEND_STOPPED_SECONDS / 2)
            healed = trial.system.log_end() > half
        trial.mark()
        trial.notes.append(f"went on while its backend was stopped: {'yes' if healed else 'no'}")


def terminate_backend(trial: Trial) -> None:
    for _ in trial.rounds():
        with trial.system.sql() as conn:
            for backend in trial.system.backends(WORKER):
                conn.execute("SELECT pg_terminate_backend(%s)", [backend])
        trial.mark()


def terminate_hub_backends(trial: Trial) -> None:
    for _ in trial.rounds():
        with trial.system.sql() as conn:
            for backend in trial.system.backends(HUB):
                conn.execute("SELECT pg_terminate_backend(%s)", [backend])
        trial.mark()


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process in the middle of whatever it does, and let it go on afterwards."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


# --- PostgreSQL -----------------------------------------------------------------------------
def restart_postgres(trial: Trial) -> None:
    postgres = trial.system.cluster.postgres
    for _ in trial.rounds():
        postgres.stop()
        trial.pause(0.2, 1.0)
        postgres.start()
        trial.mark()


def crash_postgres(trial: Trial) -> None:
    """kill -9 of one backend: PostgreSQL throws all others out and recovers from its log."""
    for _ in trial.rounds():
        with trial.system.sql_when_up() as conn:
            os.kill(conn.info.backend_pid, signal.SIGKILL)
            with suppress(Exception):
                conn.execute("SELECT 1")
        trial.mark()


# --- Redis ----------------------------------------------------------------------------------
def kill_redis(seconds: float) -> Callable[[Trial], None]:
    def fault(trial: Trial) -> None:
        server = trial.system.redis
        for _ in trial.rounds():
            os.kill(server.pid, signal.SIGKILL)
            trial.mark()  # the log keeps the streams going meanwhile
            time.sleep(seconds)
            server.stop()
            server.start()
            trial.mark()

    return fault


def kill_hub_connection(trial: Trial) -> None:
    with redis.Redis.from_url(trial.system.redis.url) as client:
        for _ in trial.rounds():
            killed = client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            trial.mark()
            if not killed:
                trial.notes.append("no subscriber was there to be killed")


# --- web processes and clients --------------------------------------------------------------
def restart_web(trial: Trial) -> None:
    for number in trial.rounds():
        web = number % trial.scenario.webs
        trial.system.processes[f"web{web}"].stop()
        trial.system.start_web(web)
        trial.mark()


def kill_web(trial: Trial) -> None:
    for number in trial.rounds():
        web = number % trial.scenario.webs
        trial.system.processes[f"web{web}"].kill()
        trial.pause(0.0, 0.5)
        trial.system.start_web(web)
        trial.mark()


def reconnect_all(trial: Trial) -> None:
    for number in trial.rounds():
        if number:
            time.sleep(8.0)
        trial.fleet.cut()
        trial.mark()
        time.sleep(5.0)


def only_load(trial: Trial) -> None:
    trial.mark()
    time.sleep(2.0 * trial.repeats)


def step_clock(trial: Trial) -> None:
    """Ten minutes on, back, ten minutes back, on: PostgreSQL, worker and web process at once."""
    assert trial.clock is not None
    for _ in trial.rounds():
        for seconds in (600, 0, -600, 0):
            trial.clock.step(seconds)
            trial.mark()
            time.sleep(4.0)  # longer than it takes all processes to see it


# --- writers --------------------------------------------------------------------------------
def commit_late(trial: Trial) -> None:
    """Transactions that took their row, and with it their place, first and commit last."""
    for _ in trial.rounds():
        late = [
            threading.Thread(target=_late_committer, args=(trial, seconds), name="late committer")
            for seconds in (0.5, 1.5, 3.0)
        ]
        for thread in late:
            thread.start()
        for thread in late:
            thread.join()
        trial.mark()


def _late_committer(trial: Trial, seconds: float) -> None:
    mark = trial.ledger.mark()
    steps = [
        Step(
            "INSERT INTO attune.execution (action_ref, enforcement) VALUES ('alpha.late', %s)"
            " RETURNING id, version",
            [mark],
            mark=mark,
        ),
        # A statement without rows, while others commit.
        Step("SELECT 1, 1 FROM pg_sleep(%s) WHERE random() < 0", [seconds]),
    ]
    with connect(trial.system.database_url) as conn:
        trial.ledger.write(conn, steps, explicit=True)


def add_bulk(trial: Trial) -> None:
    with trial.system.sql() as conn:
        conn.execute(
            "INSERT INTO attune.execution (action_ref)"
            " SELECT 'bulk.row' FROM generate_series(1, %s)",
            [BULK_ROWS],
        )


def update_bulk(trial: Trial) -> None:
    with connect(trial.system.database_url) as conn:
        for _ in trial.rounds():
            mark = trial.ledger.mark()
            query = (
                "UPDATE attune.execution SET status = 'running', enforcement = %s"
                " WHERE action_ref = 'bulk.row' RETURNING id, version"
            )
            trial.ledger.write(conn, [Step(query, [mark], mark=mark)])
            trial.mark()
