from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from executions import schemas
from executions.simulation import (
    ACTIONS,
    BEHIND_SECONDS,
    LARGEST_TREE,
    OPEN_LIMITS,
    PACKS,
    Change,
    Pace,
    Simulation,
)
from executions.status import STATUSES, TERMINAL, Status, allowed_from

seeds = st.integers(min_value=0, max_value=2**32)


def changes(seed: int, count: int, *, rate: float = 10) -> Iterator[Change]:
    simulation = Simulation(Random(seed), rate=rate)
    for _ in range(count):
        change = simulation.next()
        yield change
        simulation.done(change)


def children_of(made: list[Change]) -> dict[int, set[int]]:
    children: dict[int, set[int]] = defaultdict(set)
    for change in made:
        if change.before is None and change.parent is not None:
            children[change.parent].add(change.run)
    return children


@given(seeds)
def test_it_makes_only_steps_that_the_product_allows(seed: int) -> None:
    status: dict[int, Status] = {}
    for change in changes(seed, 200):
        assert change.before is status.get(change.run)
        if change.before is None:
            assert change.status is Status.REQUESTED
        elif change.status is not change.before:
            assert change.status in allowed_from(change.before)
        status[change.run] = change.status


@given(seeds)
def test_it_runs_children_while_their_parent_runs(seed: int) -> None:
    status: dict[int, Status] = {}
    made = list(changes(seed, 300))
    children = children_of(made)
    for change in made:
        if change.before is None and change.parent is not None:
            assert status[change.parent] is Status.RUNNING
        if change.status in TERMINAL:
            assert all(status.get(c, change.status) in TERMINAL for c in children[change.run])
        status[change.run] = change.status


def test_it_fails_a_parent_whose_child_did_not_complete() -> None:
    made = list(changes(1, 20_000))
    ends = {change.run: change.status for change in made if change.status in TERMINAL}
    failed = [
        parent
        for parent, children in children_of(made).items()
        if parent in ends and any(ends[child] is not Status.COMPLETED for child in children)
    ]
    assert len(failed) > 50
    assert Status.COMPLETED not in {ends[parent] for parent in failed}


@given(seeds, st.floats(min_value=0.001, max_value=1000))
def test_it_bounds_the_open_executions(seed: int, rate: float) -> None:
    simulation = Simulation(Random(seed), rate=rate)
    assert OPEN_LIMITS[0] <= simulation.open_target <= OPEN_LIMITS[1]
    for _ in range(300):
        simulation.done(simulation.next())
        assert simulation.open < simulation.open_target + LARGEST_TREE


def test_it_knows_its_largest_tree() -> None:
    actions = {action.ref: action for action in ACTIONS}

    def size(ref: str) -> int:
        return 1 + sum(size(child) for child in actions[ref].runs)

    assert max(map(size, actions)) == LARGEST_TREE
    assert {action.pack for action in ACTIONS} == set(PACKS)


def test_it_shows_every_status_and_mostly_success() -> None:
    made = list(changes(1, 20_000))
    assert {change.status for change in made} == set(STATUSES)
    ends = Counter(change.status for change in made if change.status in TERMINAL)
    assert ends[Status.COMPLETED] > 0.6 * ends.total()
    assert {change.action_ref for change in made} == {action.ref for action in ACTIONS}


def test_it_shows_results_of_all_sizes() -> None:
    ends = [change.result for change in changes(1, 5000) if change.status is Status.COMPLETED]
    sizes = [len(json.dumps(result, ensure_ascii=False).encode()) for result in ends if result]
    assert None in ends
    assert min(sizes) < 100
    assert any(2048 < size < 8192 for size in sizes)
    assert any(size > 64 * 1024 for size in sizes)
    assert max(sizes) < 256 * 1024
    assert "🎉" in json.dumps(ends, ensure_ascii=False)


def test_it_repeats_itself_with_the_same_seed() -> None:
    assert list(changes(7, 500)) == list(changes(7, 500))
    assert list(changes(7, 500)) != list(changes(8, 500))


@given(seeds, st.data())
def test_it_goes_on_whatever_others_do(seed: int, data: st.DataObject) -> None:
    simulation = Simulation(Random(seed), rate=5)
    for _ in range(100):
        change = simulation.next()
        other = data.draw(st.sampled_from([None, *Status]))
        if change.before is None or data.draw(st.booleans()):
            simulation.done(change)
        else:
            simulation.found(change, other)


def running_parent(seed: int = 1) -> tuple[Simulation, Change]:
    """Return a simulation with the next change of a parent that has inserted children."""
    simulation = Simulation(Random(seed), rate=10)
    inserted = set()
    while True:
        change = simulation.next()
        if change.before is Status.RUNNING and change.run in inserted:
            return simulation, change
        if change.before is None and change.parent is not None:
            inserted.add(change.parent)
        simulation.done(change)


def test_it_obeys_a_cancellation_and_passes_it_on() -> None:
    simulation, change = running_parent()
    simulation.found(change, Status.CANCELING)
    seen: dict[int, list[Status]] = defaultdict(list)
    family = {change.run}
    while not seen[change.run]:
        following = simulation.next()
        if following.parent in family:
            family.add(following.run)
            assert following.before is not None, "no child is started any more"
        seen[following.run].append(following.status)
        simulation.done(following)
    assert seen.pop(change.run) == [Status.CANCELLED]
    children = [statuses for run, statuses in seen.items() if run in family]
    assert children
    assert all(statuses[-1] is Status.CANCELLED for statuses in children)


def test_it_lets_go_of_what_others_ended_or_deleted() -> None:
    for status in (*sorted(TERMINAL), None):
        simulation, change = running_parent()
        simulation.found(change, None if status is None else Status(status))
        for _ in range(300):
            following = simulation.next()
            assert change.run not in (following.run, following.parent)
            simulation.done(following)


def test_it_takes_a_change_that_had_arrived_as_made() -> None:
    simulation = Simulation(Random(1), rate=1)
    while (change := simulation.next()).before is not Status.REQUESTED:
        simulation.done(change)
    simulation.found(change, change.status)
    while (following := simulation.next()).run != change.run:
        simulation.done(following)
    assert following.before is change.status
    assert following.status is not change.status


def test_it_spreads_changes_evenly() -> None:
    pace = Pace(4, now=100.0)
    assert [pace.wait(100.0) for _ in range(4)] == [0.0, 0.25, 0.5, 0.75]
    assert pace.wait(101.0) == 0.0
    assert pace.wait(101.0625) == 0.1875


def test_it_makes_up_for_a_delay_but_not_for_an_hour() -> None:
    pace = Pace(10, now=0.0)
    pace.wait(0.0)
    late = [pace.wait(3600.0) for _ in range(30)]
    assert late.count(0.0) == 10 * BEHIND_SECONDS + 1
    assert late[-1] > 0


def test_it_gives_each_action_a_schema_that_takes_its_values() -> None:
    for action in ACTIONS:
        schema = json.dumps(action.param_schema)
        for position in range(2):
            config = {name: values[position] for name, values in action.parameters.items()}
            assert schemas.problems(schema, config) == []
        assert schemas.problems(schema, {}) != []
