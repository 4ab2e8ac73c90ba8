"""Redis with a replica, watched by Sentinels that make it the master when that one dies."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import redis

from attune.local.processes import spawn, stop
from attune.local.redis import redis_program
from bench.faults.system import NotPossible, System
from bench.faults.trial import Trial
from tests.servers import free_port, wait_for

MASTER = "attune"
SENTINELS, QUORUM = 3, 2
PASSWORD, SENTINEL_PASSWORD = "of-redis", "of-sentinel"
FAILOVER_SECONDS = 30.0  # a second to notice, and then a few for the Sentinels to agree
_CONFIG = f"""
port {{port}}
bind 127.0.0.1
dir {{folder}}
requirepass {SENTINEL_PASSWORD}
sentinel sentinel-pass {SENTINEL_PASSWORD}
sentinel monitor {MASTER} 127.0.0.1 {{master}} {QUORUM}
sentinel auth-pass {MASTER} {PASSWORD}
sentinel down-after-milliseconds {MASTER} 1000
sentinel failover-timeout {MASTER} 5000
"""


@dataclass
class Watched(System):
    """Events go through whichever of two Redis servers three Sentinels say is the master."""

    _redis: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)  # by port
    _sentinels: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_servers(self) -> dict[str, str]:
        program = shutil.which("redis-sentinel")
        if program is None:
            raise NotPossible("needs redis-sentinel (Debian: apt-get install redis-sentinel)")
        first, second = free_port(), free_port()
        self.start_redis(first)
        self.start_redis(second, master=first)
        for port in (free_port() for _ in range(SENTINELS)):
            folder = self.folder / f"sentinel-{port}"
            folder.mkdir()
            config = folder / "sentinel.conf"
            config.write_text(_CONFIG.format(port=port, master=first, folder=folder))
            with (folder / "log").open("wb") as output:
                self._sentinels[port] = spawn([program, str(config)], output=output)
        self.wait_whole()
        hosts = "+".join(f"127.0.0.1:{port}" for port in self._sentinels)
        return {
            "REDIS_URL": f"redis+sentinel://:{PASSWORD}@{hosts}/{MASTER}"
            f"?sentinel_password={SENTINEL_PASSWORD}"
        }

    def start_redis(self, port: int, *, master: int | None = None) -> None:
        more = [] if master is None else ["--replicaof", "127.0.0.1", str(master)]
        secrets = ["--requirepass", PASSWORD, "--masterauth", PASSWORD]
        address = ["--bind", "127.0.0.1", "--port", str(port)]
        folder = self.folder / f"redis-{port}"
        folder.mkdir(exist_ok=True)
        # A folder, though nothing is to be saved: what a replica gets from its master goes there.
        saving = ["--save", "", "--dir", str(folder)]
        command = [str(redis_program()), *address, *secrets, *saving, *more]
        with (self.folder / f"redis-{port}.log").open("ab") as output:
            self._redis[port] = spawn(command, output=output)

    def kill_redis(self, port: int) -> None:
        process = self._redis.pop(port)
        process.kill()
        process.wait()

    def close(self) -> None:
        super().close()
        for process in [*self._sentinels.values(), *self._redis.values()]:
            stop(process, seconds=5.0)

    def master(self) -> int:
        """Return the port of the master, by a majority of the Sentinels."""
        said = [int(answer["port"]) for answer in self._ask("MASTER")]
        return max(set(said), key=said.count)

    def wait_whole(self) -> None:
        """Wait until every Sentinel knows the others, and a replica that is in step."""
        self._wait(
            lambda: (
                all(
                    int(master["num-other-sentinels"]) == SENTINELS - 1
                    for master in self._ask("MASTER")
                )
                and all(
                    sum(replica["master-link-status"] == "ok" for replica in replicas) == 1
                    for replicas in self._ask("REPLICAS")
                )
            ),
            "the Sentinels to know all",
        )

    def wait_master(self, *, other_than: int) -> None:
        self._wait(lambda: self.master() != other_than, "another master")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        def attempt() -> bool:
            try:
                return condition()
            except (redis.RedisError, OSError):
                return False

        wait_for(attempt, what, seconds=FAILOVER_SECONDS)

    def _ask(self, what: str) -> list[Any]:
        answers = []
        for port in self._sentinels:
            with redis.Redis(
                port=port, password=SENTINEL_PASSWORD, decode_responses=True
            ) as client:
                asked = client.sentinel_master if what == "MASTER" else client.sentinel_slaves
                answers.append(asked(MASTER))
        return answers


def kill_master(trial: Trial) -> None:
    """kill -9 of the master; it comes back as a replica of the other one."""
    system = trial.system
    assert isinstance(system, Watched)
    for _ in trial.rounds():
        system.wait_whole()
        master = system.master()
        system.kill_redis(master)
        trial.mark()  # the log keeps the streams going meanwhile
        system.wait_master(other_than=master)
        trial.mark()
        trial.pause(1.0)
        system.start_redis(master, master=system.master())
