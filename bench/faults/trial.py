"""One scenario from start to verdict: load, fault, recovery, quiet, check."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.faults import members
from bench.faults.checker import Findings, check, delays, recovery_seconds
from bench.faults.clock import Clock, stepping_cluster
from bench.faults.facts import Change, Truth
from bench.faults.fleet import Fleet, Harvest, Member
from bench.faults.outcome import Outcome
from bench.faults.system import PACKS, Cluster, Memory, NotPossible, System
from bench.faults.writers import Ledger, Load, Writers, connect
from tests.servers import wait_for

logger = logging.getLogger("attune.faults")

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fault, and the system and load that it strikes. Times in seconds."""

    name: str
    fault: Callable[[Trial], None]
    what: str
    workers: int = 1
    webs: int = 1
    load: Load = field(default_factory=Load)
    variables: dict[str, str] = field(default_factory=dict)
    crowd: Callable[[members.Place], list[Member]] | None = None  # beside the usual clients
    prepare: Callable[[Trial], None] | None = None  # before the clients connect
    repeats: int = 1
    before: float = 2.0
    after: float = 3.0
    drain: float = 40.0
    system: type[System] = System
    steps_clock: bool = False  # a PostgreSQL of its own, under a clock of its own
    database_down: bool = False  # writers may lose their connection
    growth_limit: float | None = None  # MiB that the web process may grow by


@dataclass(frozen=True, slots=True)
class Cut:
    """A partition of the network, from `began` to `healed`."""

    what: str
    began: float
    healed: float


class Trial:
    """What a fault can lay its hands on while it runs."""

    def __init__(self, system: System, fleet: Fleet, scenario: Scenario, seed: int, repeats: int):
        self.scenario = scenario
        self.system = system
        self.fleet = fleet
        self.seed = seed
        self.repeats = repeats
        self.random = random.Random(seed)
        self.ledger = Ledger()
        self.pinned: list[int] = []
        self.clock: Clock | None = None
        self.marks: list[float] = []
        self.notes: list[str] = []
        self.cuts: list[Cut] = []

    def mark(self) -> None:
        """Measure recovery from this moment: the end of the fault, or its beginning where the
        system has to heal while it lasts."""
        self.marks.append(time.monotonic())

    def pause(self, low: float, high: float | None = None) -> None:
        time.sleep(self.random.uniform(low, high if high is not None else low))

    def rounds(self) -> Iterator[int]:
        """Count the repetitions of the fault, with time to recover between them."""
        for number in range(self.repeats):
            if number:
                self.pause(2.0, 3.0)
            yield number


def run(
    scenario: Scenario,
    cluster: Cluster,
    folder: Path,
    *,
    seed: int,
    server: str = "daphne",
    repeats: int | None = None,
) -> Outcome:
    """Run one scenario and return what it showed; where it breaks off, that is a failure."""
    folder.mkdir(parents=True)
    began = time.monotonic()
    outcome = Outcome(scenario.name, scenario.what, seed, server)
    try:
        _run(scenario, cluster, folder, outcome, repeats or scenario.repeats)
    except NotPossible as exc:
        outcome.reason_not_run = str(exc)
    except Exception as exc:  # the others are to be run all the same
        logger.exception("action=scenario name=%s", scenario.name)
        outcome.failure = f"broke off: {exc!r}"
    outcome.seconds = time.monotonic() - began
    return outcome


def _run(
    scenario: Scenario, cluster: Cluster, folder: Path, outcome: Outcome, repeats: int
) -> None:
    clock: Clock | None = None
    with ExitStack() as stack:
        if scenario.steps_clock:
            cluster, clock = stack.enter_context(stepping_cluster(folder / "clock"))
        system = scenario.system(
            cluster,
            folder,
            server=outcome.server,
            workers=scenario.workers,
            webs=scenario.webs,
            variables=scenario.variables | (clock.env if clock is not None else {}),
        )
        stack.enter_context(system)
        fleet = stack.enter_context(Fleet(folder, place=system.place("client")))
        trial = Trial(system, fleet, scenario, outcome.seed, repeats)
        trial.clock = clock
        truth, harvest, caught_up = strike(trial, outcome)
    report(outcome, trial, truth, harvest)
    judge(outcome, trial, check(truth, harvest.received), caught_up)


def strike(trial: Trial, outcome: Outcome) -> tuple[Truth, Harvest, bool]:
    """Let all run, with the fault in the middle; return both books, and whether they are whole."""
    base = _prepare(trial)
    with Memory(trial.system) as memory:
        with load(trial):
            time.sleep(trial.scenario.before)
            trial.scenario.fault(trial)
            time.sleep(trial.scenario.after)
        caught_up = drain(trial)
        outcome.growth_mib = memory.growth_bytes / MIB
    harvest = trial.fleet.collect()
    return books(trial, base), harvest, caught_up


def books(trial: Trial, base: int) -> Truth:
    """Return what writers and database know of all that came after `base`."""
    epoch, log = trial.system.log(after=base)
    state = trial.system.state()
    return Truth(trial.ledger.changes, trial.ledger.maybe, log, epoch, base, state)


def _prepare(trial: Trial) -> int:
    """Make the rows that are there before, connect the clients; return the log's last seq."""
    base = pin(trial)
    place = members.Place(trial.system.token, trial.pinned, trial.random)
    crowd = trial.scenario.crowd(place) if trial.scenario.crowd is not None else []
    trial.fleet.open(members.usual(place) + crowd, trial.system.addresses)
    return base


def pin(trial: Trial) -> int:
    """Make the rows that are there before; return the log's last seq."""
    with connect(trial.system.database_url) as conn:
        for pack in PACKS * 2:
            row = conn.execute(
                "INSERT INTO attune.execution (action_ref) VALUES (%s) RETURNING id, version",
                [f"{pack}.pinned"],
            ).fetchone()
            assert row is not None
            trial.pinned.append(row[0])
    if trial.scenario.prepare is not None:
        trial.scenario.prepare(trial)
    base: int = wait_for(trial.system.last_seq, "the first rows to be sequenced", seconds=60)
    return base


@contextmanager
def load(trial: Trial) -> Iterator[None]:
    writers = Writers(
        trial.system.database_url,
        trial.ledger,
        trial.scenario.load,
        pinned=trial.pinned,
        seed=trial.seed,
    )
    try:
        writers.start()
        yield
    finally:
        writers.stop()


def drain(trial: Trial) -> bool:
    """Let everybody read to the end; say whether all got there in time."""
    trial.fleet.drain()
    deadline = time.monotonic() + trial.scenario.drain
    while time.monotonic() < deadline:
        last_seq = trial.system.last_seq()
        if last_seq is not None and min(trial.fleet.positions(), default=last_seq) >= last_seq:
            return True
        time.sleep(0.1)
    return False


def report(outcome: Outcome, trial: Trial, truth: Truth, harvest: Harvest) -> None:
    ledger = trial.ledger
    changes: list[Change] = ledger.changes
    outcome.changes = len(changes)
    outcome.maybe = len(ledger.marks) + len(ledger.deleted)
    outcome.events = len(truth.log)
    outcome.deliveries = harvest.deliveries
    outcome.recovery = [recovery_seconds(m, changes, harvest.healthy) for m in trial.marks]
    outcome.worst_delay = max(delays(changes, harvest.healthy), default=0.0)
    outcome.slowest_write = ledger.slowest_seconds
    outcome.connects = harvest.connects
    outcome.statuses, outcome.closes = harvest.statuses, harvest.closes
    outcome.troubles = harvest.troubles
    outcome.writer_errors, outcome.disconnects = ledger.errors, ledger.disconnects
    outcome.notes += trial.notes
    for cut in trial.cuts:
        during = [change for change in changes if cut.began < change.committed < cut.healed]
        worst = max(delays(during, harvest.healthy), default=0.0)
        recovered = recovery_seconds(cut.healed, changes, harvest.healthy)
        outcome.cuts.append((cut.what, len(during), worst, recovered))


def judge(outcome: Outcome, trial: Trial, findings: Findings, caught_up: bool) -> None:
    outcome.counts, outcome.places = findings.counts, findings.places
    outcome.examples = findings.examples
    wrong: list[str] = []
    if not caught_up:
        wrong.append(f"not all clients were at the end after {trial.scenario.drain:g} s")
    if outcome.writer_errors:
        wrong.append(f"writers failed: {dict(outcome.writer_errors)}")
    if outcome.disconnects and not trial.scenario.database_down:
        wrong.append(f"writers lost the database: {dict(outcome.disconnects)}")
    if any(seconds == float("inf") for seconds in outcome.recovery):
        wrong.append("a healthy client had nothing any more after the fault")
    limit = trial.scenario.growth_limit
    if limit is not None and outcome.growth_mib > limit:
        wrong.append(f"the web process grew by {outcome.growth_mib:.0f} MiB (limit {limit:g})")
    if not outcome.changes or not outcome.deliveries:
        wrong.append("nothing was written or nothing delivered: this shows nothing")
    outcome.failure = "; ".join(wrong) or None
