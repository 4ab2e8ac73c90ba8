"""A system on several hosts, and the faults that only a network has."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import redis

from attune.local.processes import spawn, stop
from attune.local.redis import redis_program
from bench.faults.copies import CopiedPostgres
from bench.faults.network import NETWORK, Network
from bench.faults.system import Cluster, System
from bench.faults.trial import Cut, Trial
from tests.servers import wait_for

REDIS = ("redis0", "redis1")
SERVERS = ("pg", *REDIS, "worker0", "worker1", "web0", "web1")
HOSTS = (*SERVERS, "client")
WEB_PORT = 8080
# Longer than every time-out that answers a partition: 2 s of the layer, 5 s of the worker.
CUT_SECONDS = 7.0
BRIEF_SECONDS = 3.0


@dataclass
class Machines(System):
    """Two web processes, two workers, two Redis shards and PostgreSQL, each on a host of its own.

    Writers, and whoever looks into the database afterwards, are on PostgreSQL's host.
    """

    _redis: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Machines:
        self.network = Network(HOSTS)
        try:
            address = self.network.addresses["pg"]
            place = self.network.place("pg")
            self._postgres = CopiedPostgres(host=address, port=5432, place=place, network=NETWORK)
            source = self.cluster.postgres.url("postgres")
            self._postgres.copy(source, options=f"listen_addresses = '{address}'\n")
            self._postgres.start()
            self.cluster = Cluster(self._postgres, self.cluster.template, self.cluster.notify)
            super().__enter__()
        except BaseException:
            self._close()
            raise
        return self

    def close(self) -> None:
        super().close()
        self._close()

    def _close(self) -> None:
        for server in self._redis:
            stop(server, seconds=5.0)
        if hasattr(self, "_postgres"):
            self._postgres.close()
        self.network.close()

    def place(self, name: str) -> list[str]:
        return self.network.place(name)

    def address(self, number: int) -> tuple[str, int]:
        return self.network.addresses[f"web{number}"], WEB_PORT

    def start_servers(self) -> dict[str, str]:
        addresses = self.network.addresses
        for name in REDIS:
            address = ["--bind", addresses[name], "--port", "6379", "--protected-mode", "no"]
            command = [str(redis_program()), *address, "--save", "", "--appendonly", "no"]
            with (self.folder / f"{name}.log").open("ab") as output:
                self._redis.append(spawn([*self.place(name), *command], output=output))
            wait_for(partial(_answers, addresses[name]), f"{name} to start")
        database = self.database_url.partition("?")[0].rpartition("/")[2]
        return {
            "DATABASE_URL": f"postgresql://postgres@{addresses['pg']}:5432/{database}",
            "REDIS_URL": ",".join(f"redis://{addresses[name]}:6379/0" for name in REDIS),
            "ATTUNE_ALLOWED_HOSTS": ",".join(addresses.values()),
        }


def _answers(host: str) -> bool:
    try:
        with redis.Redis(host=host, socket_timeout=1.0) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


# --- faults ---------------------------------------------------------------------------------
def cut_some(trial: Trial) -> None:
    """One link of every kind, several at a time where they have no host in common."""
    network = _network(trial)
    for pairs in (
        [("worker0", "pg"), ("web0", "redis0"), ("client", "web1")],
        [("web0", "pg"), ("worker0", "redis1"), ("worker1", "redis1"), ("redis0", "redis1")],
    ):
        what = ", ".join(" – ".join(pair) for pair in pairs)
        _strike(trial, what, pairs, network.cut, network.heal, seconds=BRIEF_SECONDS)


def partition(trial: Trial) -> None:
    """Each host from each, each from all others, and one half from the other."""
    network = _network(trial)
    for one, other in itertools.combinations(HOSTS, 2):
        _strike(trial, f"{one} – {other}", [(one, other)], network.cut, network.heal)
    for name in SERVERS:
        _strike(trial, f"{name} – all", [(name,)], network.unplug, network.plug_in)
    # A worker, a web process and a shard on either side; PostgreSQL can be only on one.
    near = [name for name in SERVERS if name == "pg" or name.endswith("0")]
    far = [name for name in SERVERS if name not in near]
    halves = list(itertools.product(near, far))
    _strike(trial, "half – half", halves, network.cut, network.heal)


def _strike(
    trial: Trial,
    what: str,
    targets: Sequence[tuple[str, ...]],
    begin: Callable[..., None],
    end: Callable[..., None],
    *,
    seconds: float = CUT_SECONDS,
) -> None:
    began = time.monotonic()
    for target in targets:
        begin(*target)
    time.sleep(seconds)
    for target in targets:
        end(*target)
    trial.mark()
    trial.cuts.append(Cut(what, began, trial.marks[-1]))
    trial.pause(2.0, 3.0)


def _network(trial: Trial) -> Network:
    assert isinstance(trial.system, Machines)
    return trial.system.network
