"""What strikes during a soak. web0 and worker0 live through all of it: it is theirs that must
not grow. They are stopped, cut off and robbed of their servers, but not killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

from bench.faults import faults
from bench.faults.trial import Trial
from bench.faults.writers import Step, connect
from tests.servers import PROJECT

Strike = Callable[[Trial], None]
KEPT_EVENTS = 5000  # of the log, when it is pruned; more than any chapter has


class SoakTrial(Trial):
    """One blow each time, and it is the second worker or web process that is hit."""

    def rounds(self) -> Iterator[int]:
        yield 1


def stop_any(trial: Trial) -> None:
    """SIGSTOP of a worker, a web process or Redis; then SIGCONT."""
    pids = [process.pid for process in trial.system.processes.values()]
    with faults.stopped(trial.random.choice([*pids, trial.system.redis.pid])):
        trial.pause(1.0, 4.0)
    trial.mark()


def cut_clients(trial: Trial) -> None:
    trial.fleet.cut()
    trial.mark()


def change_all(trial: Trial) -> None:
    """One UPDATE of every execution there is."""
    mark = trial.ledger.mark()
    query = (
        "UPDATE attune.execution SET enforcement = %s WHERE id IN"
        " (SELECT id FROM attune.execution ORDER BY id FOR UPDATE) RETURNING id, version"
    )
    with connect(trial.system.database_url) as conn:
        trial.ledger.write(conn, [Step(query, [mark], mark=mark)])
    trial.mark()


def prune(trial: Trial) -> None:
    """As cron would: drop old events beside it all."""
    subprocess.run(
        [sys.executable, "manage.py", "pruneevents", "--max-events", str(KEPT_EVENTS)],
        env=trial.system.environment,
        cwd=PROJECT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    trial.mark()


STRIKES: dict[str, Strike] = {
    "kill -9 of a worker": faults.kill_either_worker,
    "kill -9 of a web process": faults.kill_web,
    "restart of a web process": faults.restart_web,
    "SIGSTOP of a worker, a web process or Redis": stop_any,
    "the workers' backends terminated": faults.terminate_backend,
    "the hubs' backends terminated": faults.terminate_hub_backends,
    "CLIENT KILL of the hubs' connections": faults.kill_hub_connection,
    "kill -9 of Redis, down for 1 s": faults.kill_redis(1.0),
    "kill -9 of Redis, down for 5 s": faults.kill_redis(5.0),
    "all clients cut off": cut_clients,
    "late commits": faults.commit_late,
    "an UPDATE of all rows": change_all,
    "pruneevents": prune,
}
# Those that hit whoever else uses the same PostgreSQL.
SERVER_STRIKES: dict[str, Strike] = {
    "restart of PostgreSQL": faults.restart_postgres,
    "kill -9 of a PostgreSQL backend": faults.crash_postgres,
}
