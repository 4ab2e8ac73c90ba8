"""All scenarios: which fault strikes which system, and under which load."""

from __future__ import annotations

from bench.faults import faults, machines, members, sentinel
from bench.faults.trial import Scenario
from bench.faults.writers import Load

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("worker-killed", faults.kill_worker, "kill -9 of the worker", repeats=4),
        Scenario(
            "either-worker-killed",
            faults.kill_either_worker,
            "two workers, kill -9 of either",
            workers=2,
            repeats=4,
        ),
        Scenario(
            "listen-backend-terminated",
            faults.terminate_backend,
            "the worker's LISTEN backend is terminated",
            repeats=4,
        ),
        Scenario(
            "hub-backends-terminated",
            faults.terminate_hub_backends,
            "the web process's backends are terminated",
            repeats=4,
        ),
        Scenario("worker-stopped", faults.stop_worker, "SIGSTOP of the worker for 4 s", repeats=2),
        Scenario(
            "either-worker-stopped",
            faults.stop_either_worker,
            "two workers, SIGSTOP of either for 4 s",
            workers=2,
            repeats=2,
        ),
        Scenario(
            "backend-stopped",
            faults.stop_backend,
            "SIGSTOP of the worker's backend for 14 s",
            repeats=2,
            after=8.0,
        ),
        Scenario(
            "postgres-restarted",
            faults.restart_postgres,
            "PostgreSQL is restarted",
            repeats=2,
            after=6.0,
            database_down=True,
        ),
        Scenario(
            "postgres-crashed",
            faults.crash_postgres,
            "kill -9 of a PostgreSQL backend: crash recovery",
            repeats=2,
            after=6.0,
            database_down=True,
        ),
        Scenario(
            "redis-down-1s", faults.kill_redis(1.0), "kill -9 of Redis, down for 1 s", repeats=3
        ),
        Scenario(
            "redis-down-15s", faults.kill_redis(15.0), "kill -9 of Redis, down for 15 s", after=8.0
        ),
        Scenario(
            "hub-connection-killed",
            faults.kill_hub_connection,
            "CLIENT KILL of the hub's connection",
            repeats=4,
        ),
        Scenario(
            "web-restarted",
            faults.restart_web,
            "two web processes, either is restarted",
            webs=2,
            repeats=3,
            after=5.0,
        ),
        Scenario("web-killed", faults.kill_web, "kill -9 of the web process", repeats=2, after=5.0),
        Scenario(
            "reconnects",
            faults.only_load,
            "16 clients reconnect at random, to either of two web processes",
            webs=2,
            repeats=4,
            crowd=members.reconnecting,
            # Less than there is, so that some snapshots are cut.
            variables={"ATTUNE_SNAPSHOT_EXECUTIONS": "20"},
        ),
        Scenario(
            "reconnect-storm",
            faults.reconnect_all,
            f"{members.STORM_CLIENTS:,} clients reconnect at once",
            crowd=members.storm,
            load=Load(rate=10.0, writers=2),
            repeats=2,
            after=5.0,
            drain=60.0,
        ),
        Scenario(
            "late-committer",
            faults.commit_late,
            "transactions that took their row first commit last",
            repeats=2,
        ),
        Scenario(
            "bulk-update",
            faults.update_bulk,
            f"one UPDATE of {faults.BULK_ROWS:,} rows",
            prepare=faults.add_bulk,
            after=10.0,
            drain=120.0,
        ),
        Scenario(
            "never-reading",
            faults.only_load,
            f"{members.MUTE_CLIENTS} clients that never read among healthy ones",
            crowd=members.mutes,
            load=Load(result_bytes=8000),
            repeats=5,
            growth_limit=100.0,
        ),
        Scenario(
            "clock-stepped",
            faults.step_clock,
            "the clock is stepped by ±10 minutes",
            steps_clock=True,
        ),
        Scenario(
            "redis-failover",
            sentinel.kill_master,
            "kill -9 of the Redis master, Sentinel promotes the replica",
            system=sentinel.Watched,
            repeats=3,
            after=5.0,
        ),
        Scenario(
            "machines-brief",
            machines.cut_some,
            "eight hosts, some cut off from each other for 3 s",
            system=machines.Machines,
            workers=2,
            webs=2,
            drain=60.0,
        ),
        Scenario(
            "machines",
            machines.partition,
            "eight hosts, each cut off from each, then from all, for 7 s",
            system=machines.Machines,
            workers=2,
            webs=2,
            drain=60.0,
        ),
    )
}
SHORT = (
    "worker-killed",
    "redis-down-1s",
    "web-restarted",
    "reconnects",
    "redis-failover",
    "machines-brief",
)
