from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.eventlog import Event
from executions.filters import Filter
from executions.globs import Glob
from executions.parameters import ParameterError
from executions.positions import MAX_BIGINT
from executions.status import STATUSES
from streaming import filters


def event(
    execution: int = 7,
    status: str = "running",
    old_status: str | None = "requested",
    action_ref: str = "core.http.get",
    parent: int | None = None,
    ancestors: list[int] | None = None,
) -> Event:
    return Event(1, execution, 1, "UPDATE", status, old_status, action_ref, parent, ancestors, "{}")


def parse(**query: str | list[str]) -> Filter:
    listed = {k: v if isinstance(v, list) else [v] for k, v in query.items()}
    return filters.parse(listed).filter


def test_it_takes_values_repeated_or_with_commas() -> None:
    assert parse(execution_id=["1,2", " 3"]).executions == {1, 2, 3}
    assert parse(status="running,failed").statuses == {"running", "failed"}
    assert filters.parse({"last_event_id": ["5f1c-1"]}).last_event_id == "5f1c-1"
    assert filters.parse({}).filter == Filter()
    watching = filters.parse({"until": ["terminal"], "snapshot": ["true"], "root": ["1"]})
    assert watching.until_terminal and watching.snapshot


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("execution_id", "0"),
        ("execution_id", "-1"),
        ("execution_id", "+1"),
        ("execution_id", "1_000"),
        ("execution_id", "٣"),
        ("execution_id", "abc"),
        ("execution_id", ""),
        ("execution_id", "1,,2"),
        ("execution_id", str(MAX_BIGINT + 1)),
        ("execution_id", "9" * 200),
        ("execution_id", ",".join(map(str, range(1, 300)))),
        ("parent", "x"),
        ("status", "RUNNING"),
        ("status", "nonsense"),
        ("pack", "Core"),
        ("pack", "a.b"),
        ("action_ref", "x" * 256),
        ("nonsense", "1"),
        ("snapshot", "yes"),
        ("until", "done"),
        ("until", "terminal"),  # of what?
        ("last_event_id", ["1", "2"]),
    ],
)
def test_it_refuses_a_wrong_value_and_names_the_parameter(
    name: str, value: str | list[str]
) -> None:
    with pytest.raises(ParameterError, match=name):
        parse(**{name: value})


def test_it_lists_what_would_be_valid() -> None:
    with pytest.raises(ParameterError) as caught:
        parse(status="nonsense")
    assert all(status in str(caught.value) for status in STATUSES)
    with pytest.raises(ParameterError, match="execution_id"):
        parse(nonsense="1")


def test_it_matches_values_of_one_name_as_or_and_names_as_and() -> None:
    assert parse(execution_id="7,8").matches(event(7))
    assert not parse(execution_id="8").matches(event(7))
    assert parse(execution_id="7", pack="core").matches(event(7))
    assert not parse(execution_id="7", pack="other").matches(event(7))
    assert parse(parent="3").matches(event(parent=3))
    assert not parse(parent="3").matches(event())
    assert parse(root="7").matches(event(7))
    assert parse(root="5").matches(event(7, parent=6, ancestors=[6, 5]))
    assert not parse(root="4").matches(event(7, parent=6, ancestors=[6, 5]))


def test_it_delivers_the_event_by_which_a_row_leaves_a_status_filter() -> None:
    running = parse(status="running")
    assert running.matches(event(status="running", old_status="requested"))
    assert running.matches(event(status="failed", old_status="running"))
    assert not running.matches(event(status="failed", old_status="requested"))


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("core.http.get", True),
        ("core.*", True),
        ("*", True),
        ("*.get", True),
        ("c*e.*t", True),
        ("core.http", False),
        ("core.http.ge?", False),
        ("core[.]http*", False),
        ("*.post", False),
    ],
)
def test_it_matches_refs_exactly_or_with_stars(pattern: str, matches: bool) -> None:
    assert parse(action_ref=pattern).matches(event()) is matches


@given(
    st.lists(st.text("ab.\n", max_size=3), min_size=2, max_size=5), st.text("ab.\n", max_size=10)
)
def test_it_takes_a_star_for_any_text(parts: list[str], text: str) -> None:
    expected = re.fullmatch(".*".join(map(re.escape, parts)), text, re.DOTALL)
    assert Glob("*".join(parts)).matches(text) is (expected is not None)


def test_it_looks_at_no_character_again_for_each_star() -> None:
    """As a regular expression each of these would take longer than anybody waits."""
    for pattern in ("*" * 200 + "!", "*a" * 100 + "!", "*a*" * 60 + "b"):
        assert not parse(action_ref=pattern).matches(event(action_ref="a" * 250))


def test_it_hides_packs_whatever_was_asked_for() -> None:
    hiding = parse(execution_id="7").hiding(frozenset({"core"}))
    assert not hiding.matches(event(7))
    assert hiding.matches(event(7, action_ref="corelike.run"))
    assert not hiding.matches(event(7, action_ref="core"))


def test_it_is_equal_and_hashes_alike_for_the_same_question() -> None:
    assert parse(execution_id="1,2") == parse(execution_id=["2", "1"])
    assert len({parse(action_ref="a.*,b.c"), parse(action_ref="b.c,a.*")}) == 1


@given(st.dictionaries(st.text(max_size=20), st.lists(st.text(max_size=300), max_size=3)))
def test_it_answers_any_query_with_a_filter_or_a_clear_error(query: dict[str, list[str]]) -> None:
    try:
        filters.parse(query)
    except ParameterError as exc:
        assert str(exc)
        assert len(str(exc)) < 1000
