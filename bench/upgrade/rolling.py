"""`python -m bench.upgrade.rolling COMMIT`: an older version of attune is upgraded to this one,
and rolled back, process by process, while writers write and clients read.

The procedure is the one of docs/upgrades.md, and what clients received is held against what
writers were promised, as `make faults` does. COMMIT is checked out beside this one; the oldest
that can be taken is one whose requirements are installed here. Ends with status 1 where
anything was lost.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from attune.local.postgres import EmbeddedPostgres
from bench.faults import report
from bench.faults.checker import check
from bench.faults.fleet import Fleet
from bench.faults.outcome import Outcome
from bench.faults.system import Cluster, System
from bench.faults.trial import Scenario, Trial, judge, strike
from bench.faults.trial import report as fill
from tests.servers import PROJECT, SERVERS, Process, wait_for

REST_SECONDS = 4.0  # of each mixture
APP = "executions"


def django(root: Path, env: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "-m", "django", *arguments]
    subprocess.run(command, env=env | {"PYTHONPATH": str(root)}, cwd=root, check=True)


@dataclass
class MixedSystem(System):
    """Processes of two versions: `new` has the names of those that are of this one."""

    old: Path = PROJECT
    new: set[str] = field(default_factory=set)

    def _spawn(self, name: str, command: list[str]) -> Process:
        # In the checkout's folder, which servers put before everything else.
        root = str(PROJECT if name in self.new else self.old)
        return super()._spawn(name, ["env", "-C", root, f"PYTHONPATH={root}", *command])

    def replace(self, name: str, *, new: bool) -> None:
        """Stop the process as a deployment would, and start it in the other version."""
        (self.new.add if new else self.new.discard)(name)
        self.processes[name].stop()
        start = self.start_worker if name.startswith("worker") else self.start_web
        start(int(name[-1]))
        wait_for(
            lambda: all(self._alive(*one) for one in self.addresses),
            f"{name} to answer",
            seconds=60,
        )

    def _alive(self, host: str, port: int) -> bool:
        # Not ready: one that cannot read the other version's messages has only the log.
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://{host}:{port}/healthz", timeout=5).status_code == 200
        return False

    def unready(self) -> list[str]:
        """Return the web processes that a proxy would leave out now."""
        return [f"web{n}" for n, one in enumerate(self.addresses) if not self._answers(*one)]


@dataclass
class OldCluster(Cluster):
    """Databases as the old version has made them."""

    old: Path = PROJECT

    def migrate(self) -> None:
        self.postgres.create_database(self.template)
        env = self.environment(self.postgres.url(self.template), REDIS_URL="redis://127.0.0.1")
        django(self.old, env, "migrate", "--verbosity", "0")


def newest(root: Path) -> str:
    """Return the newest migration of a checkout."""
    return max(path.stem for path in (root / APP / "migrations").glob("[0-9]*.py"))


def roll(trial: Trial) -> None:
    """There and back, as docs/upgrades.md has it; each mixture of versions for some seconds."""
    system = trial.system
    assert isinstance(system, MixedSystem)
    print("database", newest(system.old), "→", newest(PROJECT), flush=True)
    django(PROJECT, system.environment, "migrate", "--verbosity", "0")
    _rest(trial)
    way = ["worker0", "web0", "web1", "worker1"]
    for new, names in ((True, way), (False, way[::-1])):
        for name in names:
            print(name, "new" if new else "old", flush=True)
            system.replace(name, new=new)
            _rest(trial)
            if unready := system.unready():
                trial.notes.append(f"not ready with {sorted(system.new)} new: {unready}")
    print("database back to", newest(system.old), flush=True)
    django(PROJECT, system.environment, "migrate", APP, newest(system.old), "--verbosity", "0")
    _rest(trial)


def _rest(trial: Trial) -> None:
    trial.mark()
    trial.pause(REST_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.upgrade.rolling", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("commit", help="of the old version")
    parser.add_argument("--server", choices=list(SERVERS), default="uvicorn")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the logs here")
    options = parser.parse_args()
    what = f"from {options.commit} to this version and back"
    outcome = Outcome("rolling", what, options.seed, options.server)
    with tempfile.TemporaryDirectory(prefix="attune-rolling-") as name:
        folder = Path(name)
        with _checkout(options.commit, folder / "old") as old, _cluster(folder, old) as cluster:
            _run(outcome, cluster, options.keep or folder / "logs", old)
    print(report.table([outcome]) + "\n" + report.details([outcome]))
    return 0 if outcome.passed else 1


def _run(outcome: Outcome, cluster: Cluster, folder: Path, old: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    scenario = Scenario("rolling", roll, outcome.what, workers=2, webs=2)
    system = MixedSystem(cluster, folder, server=outcome.server, workers=2, webs=2, old=old)
    with system, Fleet(folder) as fleet:
        trial = Trial(system, fleet, scenario, outcome.seed, 1)
        truth, harvest, caught_up = strike(trial, outcome)
    fill(outcome, trial, truth, harvest)
    judge(outcome, trial, check(truth, harvest.received), caught_up)


@contextmanager
def _checkout(commit: str, folder: Path) -> Iterator[Path]:
    git = ["git", "-C", str(PROJECT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


@contextmanager
def _cluster(folder: Path, old: Path) -> Iterator[Cluster]:
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        postgres.start()
        cluster = OldCluster(postgres, old=old)
        cluster.migrate()
        yield cluster
    finally:
        postgres.stop()


if __name__ == "__main__":
    sys.exit(main())
