from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.eventlog import Event
from executions.filters import Filter
from streaming import messages
from streaming.messages import Batch, MessageError
from streaming.shards import Merge, needed, shard_of, shards_of, split

PACKS = ["alpha", "beta", "core", "tests", "two"]
REFS = st.sampled_from([f"{pack}.run" for pack in PACKS] + ["alone"])


def event(seq: int, ref: str = "alpha.run", **more: Any) -> Event:
    fields = {"old_action_ref": None, "old_parent": None, "old_ancestors": None} | more
    return Event(seq, 7, 1, "UPDATE", "running", "failed", ref, None, [3], "{}", **fields)


EVENTS = st.lists(st.tuples(REFS, st.none() | REFS), max_size=12).map(
    lambda refs: [event(n, ref, old_action_ref=old) for n, (ref, old) in enumerate(refs, 1)]
)
SOME = st.frozensets(st.sampled_from(PACKS), max_size=2)
FILTERS = st.builds(
    Filter,
    packs=SOME,
    action_refs=st.frozensets(
        st.sampled_from(["alpha.run", "beta.*", "c*", "*", "alone", "two.r*"]), max_size=2
    ),
    executions=st.sampled_from([frozenset(), frozenset({7})]),
    roots=st.sampled_from([frozenset(), frozenset({3})]),
    hidden_packs=SOME,
)


def test_it_is_the_same_shard_in_every_process() -> None:
    assert [shard_of(pack, 2) for pack in PACKS] == [0, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("filter", "shards"),
    [
        (Filter(packs=frozenset({"alpha"})), {0}),
        (Filter(packs=frozenset({"alpha", "beta"})), {0, 1}),
        (Filter(action_refs=frozenset({"beta.run"})), {1}),
        (Filter(action_refs=frozenset({"beta.*"}), statuses=frozenset({"running"})), {1}),
        (Filter(action_refs=frozenset({"b*"})), {0, 1}),
        (Filter(executions=frozenset({1})), {0, 1}),
        (Filter(packs=frozenset({"alpha"}), roots=frozenset({1})), {0, 1}),
        (Filter(), {0, 1}),
    ],
)
def test_it_needs_the_shards_of_the_packs_asked_for(filter: Filter, shards: set[int]) -> None:
    assert needed(filter, 2) == shards


@given(FILTERS, EVENTS, st.integers(2, 4))
def test_it_needs_every_shard_that_may_carry_what_matches(
    filter: Filter, events: list[Event], count: int
) -> None:
    moved = [event(e.seq, e.action_ref, old_parent=3, old_ancestors=[3]) for e in events]
    for e in events + moved:
        assert not filter.matches(e) or shards_of(e, count) & needed(filter, count)


@given(EVENTS, st.integers(1, 4))
def test_it_splits_so_that_every_part_says_all_that_it_covers(
    events: list[Event], count: int
) -> None:
    batch = Batch("5f1c", len(events), tuple(events))
    parts = split(batch, count)
    assert {(part.first_seq, part.last_seq) for part in parts} == {(1, len(events))}
    assert {e.seq for part in parts for e in part.events} == {e.seq for e in events}
    for shard, part in enumerate(parts):
        assert all(shard in shards_of(e, count) for e in part.events)
        assert messages.decode(msgpack.unpackb(msgpack.packb(messages.encode(part)))) == part


@pytest.mark.parametrize("seqs", [(5, 4), (3,), (9,), (4, 4)])
def test_it_refuses_events_outside_of_the_stretch(seqs: tuple[int, ...]) -> None:
    part = Batch("5f1c", 8, tuple(event(seq) for seq in seqs), 4)
    with pytest.raises(MessageError):
        messages.decode(messages.encode(part))


@given(st.data())
def test_it_merges_what_comes_in_any_order_twice_or_not_at_all(data: st.DataObject) -> None:
    """Whoever reads the log where it is told of a gap has all of its shards, once, in order."""
    count, last = 3, 12
    refs = data.draw(st.lists(st.tuples(REFS, st.none() | REFS), min_size=last, max_size=last))
    log = [event(n, ref, old_action_ref=old) for n, (ref, old) in enumerate(refs, 1)]
    followed = data.draw(st.frozensets(st.integers(0, count - 1), min_size=1))
    merge, got, position = Merge(followed), list[int](), 0
    queues: dict[int, list[Batch]] = {shard: [] for shard in followed}
    for first in range(1, last + 1, 3):
        parts = split(Batch("5f1c", first + 2, tuple(log[first - 1 : first + 2])), count)
        for shard in followed:
            queues[shard] += [parts[shard]] * data.draw(st.integers(0, 2))
    while any(queues.values()):
        shard = data.draw(st.sampled_from([shard for shard in followed if queues[shard]]))
        batch = queues[shard].pop(0)
        if merge.misses(shard, batch):
            got += [e.seq for e in log[position : batch.last_seq]]
            position = max(position, batch.last_seq)
            merge.reach(position)
        events, upto = merge.take(shard, batch, 0.0)
        assert upto >= position
        assert all(position < e.seq <= upto for e in events)
        got += [e.seq for e in events]
        position = upto
    wanted = [e.seq for e in log if shards_of(e, count) & followed and e.seq <= position]
    assert got == sorted(set(got))
    assert set(wanted) <= set(got)


def test_it_says_for_how_long_one_shard_has_kept_the_others_waiting() -> None:
    merge = Merge([0, 1])
    merge.take(0, Batch("5f1c", 1, (event(1),), 1), 10.0)
    merge.take(0, Batch("5f1c", 2, (event(2),), 2), 11.0)
    assert (merge.held_back(12.0), merge.waiting) == (2.0, 2)
    merge.take(1, Batch("5f1c", 1, (), 1), 12.0)  # it goes on, if late
    assert (merge.held_back(12.5), merge.waiting) == (0.5, 1)
    events, upto = merge.take(1, Batch("5f1c", 2, (), 2), 13.0)
    assert ([e.seq for e in events], upto, merge.held_back(99.0)) == ([2], 2, 0.0)


def test_it_begins_anew_with_another_log() -> None:
    merge = Merge([0, 1])
    merge.take(0, Batch("5f1c", 5, (event(5),), 1), 0.0)
    merge.restart(3)
    assert merge.waiting == 0
    assert [merge.misses(shard, Batch("beef", 4, (), 4)) for shard in (0, 1)] == [False, False]
