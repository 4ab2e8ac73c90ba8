"""Made-up executions that live as real ones do, one change at a time. Pure.

No clock: how long an execution takes follows from how many are open and how many changes a
second its owner makes. No ids either: a run has a number of its own until it is inserted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

from executions.status import TERMINAL, Status

# An execution takes about five changes, so this many open ones a change per second make it
# last some eight seconds: long enough to be watched.
OPEN_PER_RATE = 1.6
OPEN_LIMITS = (3, 200)
# A simulation that fell behind makes up for so much of it, at once, and forgets the rest.
BEHIND_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class DemoAction:
    """An action of a demo pack, the values its parameters take, and the actions it runs."""

    ref: str
    label: str
    parameters: dict[str, tuple[Any, ...]]
    runs: tuple[str, ...] = ()

    @property
    def pack(self) -> str:
        return self.ref.split(".")[0]

    @property
    def param_schema(self) -> dict[str, Any]:
        """What its `config` has to be, as JSON Schema."""
        return {
            "type": "object",
            "required": list(self.parameters),
            "properties": {
                name: {
                    "type": "string" if isinstance(values[0], str) else "integer",
                    "default": values[0],
                }
                for name, values in self.parameters.items()
            },
        }


PACKS = {"demo": "Demo", "demo_ops": "Demo operations"}
ACTIONS = (
    DemoAction("demo.hello", "Say hello", {"name": ("Ada", "José", "Zoë 👋", "世界")}),
    DemoAction("demo.import_customers", "Import customers", {"rows": (10, 2500, 40_000)}),
    DemoAction("demo.render_report", "Render a report", {"format": ("pdf", "xlsx", "html")}),
    DemoAction(
        "demo.monthly_close",
        "Close the month",
        {"month": ("2026-01", "2026-02", "2026-03")},
        ("demo.import_customers", "demo.render_report", "demo_ops.backup"),
    ),
    DemoAction("demo_ops.build_image", "Build an image", {"branch": ("main", "fix/ümlaut")}),
    DemoAction("demo_ops.restart_service", "Restart a service", {"service": ("web", "worker")}),
    DemoAction("demo_ops.smoke_test", "Run the smoke test", {"checks": (3, 12)}),
    DemoAction("demo_ops.dump_database", "Dump a database", {"database": ("crm", "shop")}),
    DemoAction("demo_ops.upload_archive", "Upload an archive", {"bucket": ("archive", "büro")}),
    DemoAction(
        "demo_ops.deploy",
        "Deploy a release",
        {"version": ("1.4.0", "1.4.1", "2.0.0-rc1 🚀")},
        ("demo_ops.build_image", "demo_ops.restart_service", "demo_ops.smoke_test"),
    ),
    DemoAction(
        "demo_ops.backup",
        "Back up a database",
        {"keep_days": (7, 30)},
        ("demo_ops.dump_database", "demo_ops.upload_archive"),
    ),
)
LARGEST_TREE = 6  # demo.monthly_close with its children and theirs

_BY_REF = {action.ref: action for action in ACTIONS}
_SINGLE = [action for action in ACTIONS if not action.runs]
_PARENTS = [action for action in ACTIONS if action.runs]
_PARENT_SHARE = 0.25

_BEGINNING = (Status.REQUESTED, Status.SCHEDULING, Status.SCHEDULED, Status.RUNNING)
_ENDINGS = {
    Status.COMPLETED: 78,
    Status.FAILED: 10,
    Status.TIMEOUT: 5,
    Status.CANCELLED: 5,
    Status.ABANDONED: 2,
}
_SIZES = {"null": 25, "small": 50, "page": 21, "large": 4}
_MESSAGES = ("done", "nothing to do", "✅ fertig, schöne Grüße", "完了しました 🎉", "готово")
_ERRORS = ("connection refused", "exit status 1", "Zugriff verweigert 🔒", "disk full: /var/Übung")


@dataclass(frozen=True, slots=True)
class Step:
    """A status, and the result as it stands from then on."""

    status: Status
    result: Any = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one execution when nobody interferes. The first step inserts it."""

    action_ref: str
    config: dict[str, Any]
    steps: tuple[Step, ...]
    children: tuple[Plan, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One INSERT (`before` is None) or UPDATE (from the status `before`) of a run."""

    run: int
    before: Status | None
    status: Status
    result: Any
    action_ref: str
    config: dict[str, Any]
    parent: int | None


def plan(random: Random, action: DemoAction | None = None) -> Plan:
    """Return a plan for `action`, or for any; only one that gets to run has children."""
    if action is None:
        action = random.choice(_PARENTS if random.random() < _PARENT_SHARE else _SINGLE)
    steps = _steps(random)
    runs = any(step.status is Status.RUNNING for step in steps)
    return Plan(
        action.ref,
        {name: random.choice(values) for name, values in action.parameters.items()},
        steps,
        tuple(plan(random, _BY_REF[ref]) for ref in action.runs) if runs else (),
    )


def _steps(random: Random) -> tuple[Step, ...]:
    ending = random.choices(list(_ENDINGS), list(_ENDINGS.values()))[0]
    if ending is Status.CANCELLED:
        begun = _BEGINNING[: random.randint(1, len(_BEGINNING))]
        return *map(Step, begun), Step(Status.CANCELING), Step(ending)
    if ending is Status.ABANDONED:  # its worker is gone, so it had one
        return *map(Step, _BEGINNING[: random.randint(3, len(_BEGINNING))]), Step(ending)
    reports = sorted(random.sample(range(5, 100, 5), random.choice((0, 0, 1, 2))))
    progress = [Step(Status.RUNNING, {"progress": percent}) for percent in reports]
    return *map(Step, _BEGINNING), *progress, Step(ending, _result(random, ending))


def _result(random: Random, ending: Status) -> Any:
    if ending is Status.FAILED:
        return {"error": random.choice(_ERRORS), "attempt": random.randint(1, 3)}
    if ending is Status.TIMEOUT:
        return {"error": "timed out", "after_seconds": random.choice((30, 300, 3600))}
    size = random.choices(list(_SIZES), list(_SIZES.values()))[0]
    if size == "null":
        return None
    if size == "small":
        return {"message": random.choice(_MESSAGES), "duration_ms": random.randint(3, 90_000)}
    # A few KiB; or more than the 64 KiB that a stream sends.
    count = random.randint(30, 120) if size == "page" else random.randint(1500, 2500)
    return {"rows": [_row(random, number) for number in range(count)]}


def _row(random: Random, number: int) -> dict[str, Any]:
    return {"n": number, "note": random.choice(_MESSAGES), "cents": random.randint(1, 10**6)}


@dataclass(slots=True)
class _Run:
    key: int
    plan: Plan
    parent: _Run | None
    steps: deque[Step]
    status: Status | None = None  # None until it is inserted
    has_run: bool = False
    open_children: dict[int, _Run] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether its next change may be made now."""
        if self.status is None:
            return self.parent is None or self.parent.has_run
        return not self.open_children or self.steps[0].status not in TERMINAL


class Simulation:
    """Open executions, and what happens next to one of them.

    The owner asks for the `next` change, makes it, and says either that it is `done` or what
    was `found` instead.
    """

    def __init__(self, random: Random, *, rate: float) -> None:
        low, high = OPEN_LIMITS
        self.open_target = round(min(max(rate * OPEN_PER_RATE, low), high))
        self._random = random
        self._runs: dict[int, _Run] = {}  # planned or open, never ended ones
        self._last_key = 0

    @property
    def open(self) -> int:
        """How many executions are open or about to be: below `open_target + LARGEST_TREE`."""
        return len(self._runs)

    def next(self) -> Change:
        """Return a change to make: of a new execution while there is room, else of any."""
        if len(self._runs) < self.open_target:
            run = self._add(plan(self._random), parent=None)
        else:
            run = self._random.choice([run for run in self._runs.values() if run.ready])
        step = run.steps[0]
        return Change(
            run.key,
            run.status,
            step.status,
            step.result,
            run.plan.action_ref,
            run.plan.config,
            None if run.parent is None else run.parent.key,
        )

    def done(self, change: Change) -> None:
        """Take note that `change` was made."""
        run = self._runs[change.run]
        run.steps.popleft()
        self._enter(run, change.status)

    def found(self, change: Change, status: Status | None) -> None:
        """Take note that another writer was first: the execution has `status`; None: is gone.

        A cancellation is obeyed, an end accepted; from any other status the plan goes on.
        """
        run = self._runs[change.run]
        if status is None:
            self._forget(run)
        elif status is change.status:
            self.done(change)
        else:
            self._enter(run, status)

    def _add(self, plan: Plan, *, parent: _Run | None) -> _Run:
        self._last_key += 1
        run = _Run(self._last_key, plan, parent, deque(plan.steps))
        self._runs[run.key] = run
        for child in plan.children:
            added = self._add(child, parent=run)
            run.open_children[added.key] = added
        return run

    def _enter(self, run: _Run, status: Status) -> None:
        run.status = status
        if status is Status.RUNNING:
            run.has_run = True
        elif status is Status.CANCELING:
            self._cancel(run)
        elif status in TERMINAL:
            self._forget(run)
            if status is not Status.COMPLETED and run.parent is not None:
                _fail(run.parent)

    def _cancel(self, run: _Run) -> None:
        """Let the run end as cancelled, after its children: those still to come never do."""
        run.steps = deque([Step(Status.CANCELLED)])
        for child in list(run.open_children.values()):
            if child.status is None:
                self._forget(child)
            elif child.status is not Status.CANCELING:
                child.steps = deque([Step(Status.CANCELING), Step(Status.CANCELLED)])

    def _forget(self, run: _Run) -> None:
        """Drop an ended run with the children it has not started; started ones go on."""
        del self._runs[run.key]
        if run.parent is not None:
            del run.parent.open_children[run.key]
        for child in list(run.open_children.values()):
            if child.status is None:
                self._forget(child)
            else:
                child.parent = None


def _fail(parent: _Run) -> None:
    if parent.steps and parent.steps[-1].status is Status.COMPLETED:
        parent.steps[-1] = Step(Status.FAILED, {"error": "a child did not complete"})


class Pace:
    """Spreads changes evenly over time: `rate` a second."""

    def __init__(self, rate: float, *, now: float) -> None:
        self._interval = 1 / rate
        self._due = now

    def wait(self, now: float) -> float:
        """Return the seconds until the next change, which counts as made then."""
        due = max(self._due, now - BEHIND_SECONDS)
        self._due = due + self._interval
        return max(0.0, due - now)
