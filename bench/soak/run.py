"""A soak from start to verdict.

It comes in chapters. In each, writers write and something strikes every now and then; then
writers pause, everybody reads to the end, and the books are compared. The processes and the
connections of the clients go on. So it may last for days: no book grows longer than a chapter.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.faults import trial as trials
from bench.faults.checker import check
from bench.faults.fleet import Fleet
from bench.faults.members import Place
from bench.faults.outcome import Outcome
from bench.faults.system import Cluster, System
from bench.faults.trial import Scenario
from bench.faults.writers import Load, Step, connect
from bench.soak import crowd
from bench.soak.flat import Flat, judge
from bench.soak.requests import Requests
from bench.soak.samples import Sampler
from bench.soak.strikes import SoakTrial, Strike

logger = logging.getLogger("attune.soak")

# That a token lives. Each chapter hands out new ones, so that old ones expire in use.
TOKEN_CHAPTERS = 2
_CLEAR = "DELETE FROM attune.execution WHERE id <> ALL (%s) RETURNING id, version + 1"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how much, how often. `clients`: of each web process, and that come and go."""

    seconds: float
    seed: int
    server: str = "uvicorn"
    chapter_seconds: float = 150.0
    least_chapters: int = 1  # even where that takes longer
    strike_seconds: float = 25.0  # from one blow to the next, on average
    calm_seconds: float = 8.0  # after the last blow of a chapter
    rate: float = 5.0
    requests_rate: float = 1.0
    steady_clients: int = 40
    coming_clients: int = 12
    samples: int = 360


@dataclass
class Result:
    plan: Plan
    seconds: float = 0.0
    chapters: list[Outcome] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    wrong_answers: dict[str, int] = field(default_factory=dict)
    series: Mapping[str, list[tuple[float, float]]] = field(default_factory=dict)
    flats: list[Flat] = field(default_factory=list)
    cores: float = 0.0  # that the product's own processes and Redis took, on average
    failures: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not (
            self.failures
            or self.wrong_answers
            or not self.chapters
            or any(not chapter.passed for chapter in self.chapters)
            or any(not flat.flat for flat in self.flats)
        )


def run(plan: Plan, strikes: Mapping[str, Strike], cluster: Cluster, folder: Path) -> Result:
    """Soak the system; raises nothing that a chapter raises, it is in the result."""
    result = Result(plan)
    folder.mkdir(parents=True, exist_ok=True)
    life = TOKEN_CHAPTERS * (plan.chapter_seconds + 120)
    variables = {
        "ATTUNE_ACCESS_TOKEN_SECONDS": f"{life:.0f}",
        "ATTUNE_HEARTBEAT_SECONDS": "4",
        # Full within minutes, the pools as soon as all have connected: what grows then is a leak.
        "ATTUNE_RING_EVENTS": "1000",
        "ATTUNE_DATABASE_CONNECTIONS": "3",
        "ATTUNE_LOG_CONNECTIONS": "2",
    }
    system = System(cluster, folder, server=plan.server, workers=2, webs=2, variables=variables)
    began = time.monotonic()
    with system, Fleet(folder) as fleet:
        _Soak(plan, strikes, system, fleet, result).run()
    result.seconds = time.monotonic() - began
    return result


class _Soak:
    def __init__(
        self,
        plan: Plan,
        strikes: Mapping[str, Strike],
        system: System,
        fleet: Fleet,
        result: Result,
    ) -> None:
        self._plan = plan
        self._strikes = strikes
        self._system = system
        self._fleet = fleet
        self._result = result
        self._random = random.Random(plan.seed)
        self._bag: list[str] = []
        load = Load(rate=plan.rate, writers=4)
        self._scenario = Scenario(
            "soak", lambda trial: None, "", load=load, webs=2, drain=60.0, database_down=True
        )
        self._kept = {name: system.processes[name] for name in ("web0", "worker0")}
        self._tokens: dict[str, str] = {}
        self._pinned: list[int] = []

    def run(self) -> None:
        plan, result = self._plan, self._result
        base = self._begin()
        every = max(min(10.0, plan.seconds / 30), plan.seconds / plan.samples)
        requests = Requests(self._system, self._pinned, rate=plan.requests_rate, seed=plan.seed)
        requests.token = self._tokens["all"]
        began = time.monotonic()
        with Sampler(self._system, every_seconds=every) as sampler, requests:
            while (left := began + plan.seconds - time.monotonic()) > 0 or self._owed:
                seconds = plan.chapter_seconds if self._owed else min(left, plan.chapter_seconds)
                base = self._chapter(seconds, base)
                self._renew()
                requests.token = self._tokens["all"]
        result.answers, result.wrong_answers = requests.answers, requests.wrong
        result.series = dict(sampler.series)
        result.cores = sum(sampler.cpu_seconds.values()) / (time.monotonic() - began)
        result.flats = [
            judge(name, points)
            for name, points in sorted(sampler.series.items())
            if _of_one_process(name) and len(points) >= 8
        ]

    def _begin(self) -> int:
        """Make the first rows and let everybody connect; return the log's last seq."""
        trial = self._trial(self._plan.seed)
        base = trials.pin(trial)
        self._pinned = trial.pinned
        self._tokens = {name: self._system.token(name) for name in ("all", "outsider")}
        place = Place(self._tokens.__getitem__, self._pinned, trial.random)
        addresses = self._system.addresses
        for web, address in enumerate(addresses):
            steady = crowd.steady(place, web, self._plan.steady_clients)
            self._fleet.open(steady, [address])
        self._fleet.open(crowd.wandering(place, self._plan.coming_clients), addresses)
        return base

    def _trial(self, seed: int) -> SoakTrial:
        trial = SoakTrial(self._system, self._fleet, self._scenario, seed, 1)
        trial.pinned = self._pinned
        return trial

    @property
    def _owed(self) -> bool:
        """Whether there is to be another chapter, however long it has taken so far."""
        return len(self._result.chapters) < self._plan.least_chapters

    def _chapter(self, seconds: float, base: int) -> int:
        """Load, blows, quiet, check; return the log's last seq."""
        number = len(self._result.chapters) + 1
        outcome = Outcome(f"chapter {number}", "", self._random.getrandbits(32), self._plan.server)
        self._result.chapters.append(outcome)
        trial, began = self._trial(outcome.seed), time.monotonic()
        with trials.load(trial):
            self._strike(trial, began + seconds)
            time.sleep(self._plan.calm_seconds)
        self._clear(trial)
        caught_up = trials.drain(trial)
        harvest = self._fleet.turn()
        truth = trials.books(trial, base)
        trials.report(outcome, trial, truth, harvest)
        trials.judge(outcome, trial, check(truth, harvest.received), caught_up)
        for name, process in self._kept.items():
            if process.child.poll() is not None:
                self._result.failures.append(f"{name} ended in {outcome.name}")
        outcome.seconds = time.monotonic() - began
        print(f"{outcome.name}: {'passed' if outcome.passed else 'FAILED'}, ", end="", flush=True)
        print(f"{outcome.changes} changes, {outcome.deliveries} deliveries", flush=True)
        return truth.log[-1].seq if truth.log else base

    def _strike(self, trial: SoakTrial, end: float) -> None:
        pause = self._plan.strike_seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, trial.random.uniform(0.5 * pause, 1.5 * pause)))
            if time.monotonic() >= end:
                break
            if not self._bag:  # each of them, before any comes again
                self._bag = sorted(self._strikes)
                self._random.shuffle(self._bag)
            name = self._bag.pop()
            print(f"  {time.strftime('%H:%M:%S')} {name}", flush=True)
            try:
                self._strikes[name](trial)
            except Exception as exc:  # the soak goes on, and has failed
                logger.exception("action=strike name=%s", name)
                self._result.failures.append(f"{name}: {exc!r}")
            self._result.struck[name] += 1

    def _clear(self, trial: SoakTrial) -> None:
        """Delete all but the first rows: the table is as long in the end as it was."""
        with self._system.sql_when_up():  # only to know that it is
            pass
        with connect(self._system.database_url) as conn:
            trial.ledger.write(conn, [Step(_CLEAR, [self._pinned])])

    def _renew(self) -> None:
        old = self._tokens
        self._tokens = {name: self._system.token(name) for name in old}
        self._fleet.renew({old[name]: self._tokens[name] for name in old})


def _of_one_process(name: str) -> bool:
    """Say whether this is the figure of what lived all the time, and does not go with its load."""
    goes = ("RSS MiB", "web0 streams", "web0 descriptors")
    ours = ("web0 ", "worker0 ", "connections ", "redis ")
    return name.startswith(ours) and not name.endswith(goes)
