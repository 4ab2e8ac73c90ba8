"""What is told of an execution that gets another action_ref or parent, and to whom."""

from __future__ import annotations

import json
from typing import Any

import pytest

from executions.eventlog import Event
from executions.filters import Filter
from streaming.chunks import Frame

OLD, NEW = "open.run", "vault.run"
DATA = {
    **{"id": 7, "status": "failed", "action_id": 3, "parent": None, "enforcement": None},
    **{"executor": 5, "result": {"key": "new"}, "created": "2026-01-01T00:00:00.000000+00:00"},
    **{"updated": "2026-01-02T00:00:00.000000+00:00", "started": None, "finished": None},
}


def move(
    old_action_ref: str | None = None, action_ref: str = OLD, parents: Any = None, **new: Any
) -> Event:
    """An event by which 7 gets another action_ref, or `parents`: the old one and the new one."""
    old_parent, parent = parents or (None, None)
    body = {
        **{"entity_type": "execution", "entity_id": 7, "timestamp": DATA["updated"], "seq": 9},
        **{"version": 4, "op": "UPDATE", "old_status": "running", "truncated": True},
        "data": {**DATA, "action_ref": action_ref, "parent": parent, **new},
    }
    return Event(
        *(9, 7, 4, "UPDATE", "failed", "running", action_ref, parent, parent and [parent]),
        json.dumps(body, separators=(",", ":")),
        old_action_ref,
        old_parent,
        None if parents is None else [old_parent] if old_parent else [],
    )


def told(filter: Filter, event: Event) -> Any:
    assert filter.matches(event) == (filter.told(event) is not None)
    shown = filter.told(event)
    return shown and json.loads(shown.body)


def some(*values: Any) -> frozenset[Any]:
    return frozenset(values)


@pytest.mark.parametrize(
    ("filter", "event"),
    [
        (Filter(packs=some("open")), move(OLD, NEW)),
        (Filter(packs=some("vault")), move(OLD, NEW)),
        (Filter(action_refs=some("op*")), move(OLD, NEW)),
        (Filter(action_refs=some(NEW)), move(OLD, NEW)),
        (Filter(parents=some(2)), move(parents=(2, None))),
        (Filter(parents=some(3)), move(parents=(2, 3))),
        (Filter(roots=some(2)), move(parents=(2, 3))),
        (Filter(roots=some(3)), move(parents=(None, 3))),
        (Filter(packs=some("open"), statuses=some("running")), move(OLD, NEW)),
        (Filter(), move(OLD, NEW, parents=(2, 3))),
    ],
)
def test_it_tells_those_whose_filter_it_leaves_or_enters(filter: Filter, event: Event) -> None:
    assert told(filter, event)["data"] == json.loads(event.body)["data"]


@pytest.mark.parametrize(
    ("filter", "event"),
    [
        (Filter(packs=some("other")), move(OLD, NEW)),
        (Filter(packs=some("open"), statuses=some("failed")), move(OLD, NEW)),  # never together
        (Filter(packs=some("vault"), statuses=some("running")), move(OLD, NEW)),
        (Filter(parents=some(2), executions=some(8)), move(parents=(2, 3))),
        (Filter(roots=some(4)), move(parents=(2, 3))),
    ],
)
def test_it_says_nothing_to_others(filter: Filter, event: Event) -> None:
    assert told(filter, event) is None


def test_it_adds_what_was_only_where_that_changed() -> None:
    full = told(Filter(), move('a."\u00e9\n', OLD, parents=(2, None)))
    assert (full["old_action_ref"], full["old_parent"]) == ('a."\u00e9\n', 2)
    assert "old_parent" not in told(Filter(), move(OLD, NEW))
    moved = told(Filter(), move(parents=(None, 2)))
    assert moved["old_parent"] is None
    assert "old_action_ref" not in moved


def test_it_tells_a_tree_of_each_move_whatever_else_is_asked_for() -> None:
    """What hangs below moves, too, and of that there are no events."""
    event = move(parents=(2, 3))
    for root in (2, 3):
        assert told(Filter(roots=some(root), statuses=some("completed")), event)
        assert told(Filter(roots=some(root), executions=some(8)), event)
    assert told(Filter(roots=some(2), packs=some("x")), move("x.run", OLD, parents=None)) is None


def test_it_is_as_deleted_to_those_who_may_not_see_where_it_went() -> None:
    event = move(OLD, NEW, parents=(2, 3), result={"key": "new"})
    gone = told(Filter().hiding(some("vault")), event)
    assert gone["data"] == dict.fromkeys(DATA) | {
        **{"id": 7, "status": "running", "action_ref": OLD, "parent": 2},
        **{"created": DATA["created"], "updated": DATA["updated"]},
    }
    rest = {key: value for key, value in gone.items() if key != "data"}
    assert rest == {
        **{"entity_type": "execution", "entity_id": 7, "timestamp": DATA["updated"], "seq": 9},
        **{"version": 4, "op": "DELETE", "old_status": "running"},
    }


def test_it_has_no_past_for_those_who_may_not_see_where_it_was() -> None:
    event = move(NEW, OLD, parents=(2, 3))
    arrived = told(Filter().hiding(some("vault")), event)
    assert arrived["data"] == json.loads(event.body)["data"]
    assert arrived["old_status"] is None
    assert arrived["old_parent"] is None
    assert "old_action_ref" not in arrived
    assert "vault" not in json.dumps(arrived)


@pytest.mark.parametrize(
    "filter",
    [
        Filter(packs=some("vault")),
        Filter(action_refs=some(NEW)),
        Filter(statuses=some("running")),  # what it was there
        Filter(parents=some(2)),
    ],
)
def test_it_does_not_match_by_what_may_not_be_seen(filter: Filter) -> None:
    event = move(NEW, OLD, parents=(2, 3))
    assert told(filter, event)
    assert told(filter.hiding(some("vault")), event) is None


def test_it_tells_nothing_of_what_may_not_be_seen_but_that_a_tree_is_another() -> None:
    event = move(None, NEW, parents=(2, 3))
    hidden = Filter(roots=some(2)).hiding(some("vault"))
    shown = hidden.told(event)
    assert shown is not None
    assert shown.body == ""
    assert Filter().hiding(some("vault")).told(event) is None
    # It was in the tree when it could not be seen, and is elsewhere now that it can.
    arrived = hidden.told(move(NEW, OLD, parents=(2, 3)))
    assert arrived is not None
    assert arrived.body == ""


def test_it_is_encoded_once_for_all_who_may_see_the_same_of_it() -> None:
    frame = Frame.of(move(OLD, NEW), "5f1c")
    filters = [Filter(packs=some("open")), Filter(executions=some(7)), Filter()]
    assert len({id(frame.told(filter)) for filter in filters}) == 1
    hidden = [filter.hiding(some("vault")) for filter in filters]
    assert len({id(frame.told(filter)) for filter in hidden}) == 1
    assert frame.told(hidden[0]).event == hidden[0].told(frame.event)
    assert frame.told(filters[0]).event == filters[0].told(frame.event)
