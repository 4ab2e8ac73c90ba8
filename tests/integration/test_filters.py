"""A filter says the same in Python, on the log and on the table."""

from __future__ import annotations

import random
from typing import Any

import psycopg
import pytest

from executions.eventlog import Event
from executions.filters import Filter, Where, log_where, table_where
from tests.rows import Connection, add_execution, log, sequence

REFS = ["core.run", "core.http.get", "core", "co_e.run", "c%.run", "a\\b.run", "corelike.run"]
STATUSES = ["requested", "running", "failed"]


@pytest.fixture
def ids(conn: Connection) -> list[int]:
    """Executions of all kinds, and some history."""
    dice = random.Random(7)
    ids: list[int] = []
    for _ in range(60):
        parent = dice.choice([*ids, None])
        ids.append(add_execution(conn, dice.choice(REFS), parent=parent))
    for turn in range(160):
        change(conn, dice, ids)
        if turn % 20 == 0:
            sequence(conn)
    sequence(conn)
    return ids


def change(conn: Connection, dice: random.Random, ids: list[int]) -> None:
    chosen = dice.choice(ids)
    columns = {
        "status": dice.choice(STATUSES),
        "action_ref": dice.choice(REFS),
        "parent": dice.choice([*(other for other in ids if other < chosen), None]),  # no circle
    }
    if dice.random() < 0.03:
        conn.execute("DELETE FROM attune.execution WHERE id = %s", [chosen])
        ids.remove(chosen)
        return
    names = dice.sample(sorted(columns), dice.randint(1, 2))
    assignments = psycopg.sql.SQL(", ").join(
        psycopg.sql.SQL("{} = %s").format(psycopg.sql.Identifier(name)) for name in names
    )
    conn.execute(
        psycopg.sql.SQL("UPDATE attune.execution SET {} WHERE id = %s").format(assignments),
        [*(columns[name] for name in names), chosen],
    )


def filters(ids: list[int]) -> list[Filter]:
    dice = random.Random(8)

    def some(values: list[Any]) -> frozenset[Any]:
        return frozenset(dice.sample(values, dice.randint(0, 3)) if dice.random() < 0.4 else ())

    return [
        Filter(
            executions=some(ids),
            statuses=some(STATUSES),
            action_refs=some([*REFS, "core.*", "*.run", "c*", "*_*", "*%*", "*\\*"]),
            packs=some(["core", "co_e", "c%", "none"]),
            parents=some(ids),
            roots=some(ids),
            hidden_packs=some(["core", "co_e", "c%"]),
        )
        for _ in range(150)
    ]


def select(conn: Connection, columns: str, table: str, where: Where) -> set[Any]:
    query = psycopg.sql.SQL("SELECT {} FROM attune.{} WHERE {}").format(
        psycopg.sql.SQL(columns), psycopg.sql.Identifier(table), where.condition
    )
    return {row[0] for row in conn.execute(query, where.values)}


def test_it_selects_from_the_log_what_it_matches(conn: Connection, ids: list[int]) -> None:
    events = log(conn)
    assert sum(event.is_move for event in events) > 30
    hits = 0
    for filter in filters(ids):
        wanted = {event.seq for event in events if filter.matches(event)}
        assert select(conn, "seq", "execution_event", log_where(filter)) == wanted, filter
        hits += len(wanted)
    assert hits > 100  # not everything was empty


def test_it_selects_from_the_table_what_it_matches(conn: Connection, ids: list[int]) -> None:
    parents = dict(conn.execute("SELECT id, parent FROM attune.execution").fetchall())
    rows = conn.execute("SELECT id, version, status, action_ref, parent FROM attune.execution")
    states = [
        Event(0, id, version, "SNAPSHOT", status, None, ref, parent, above(parents, id), "")
        for id, version, status, ref, parent in rows
    ]
    hits = 0
    for filter in filters(ids):
        wanted = {state.execution for state in states if filter.matches(state)}
        assert select(conn, "id", "execution", table_where(filter)) == wanted, filter
        hits += len(wanted)
    assert hits > 100


def above(parents: dict[int, int | None], execution: int) -> list[int]:
    found: list[int] = []
    parent = parents[execution]
    while parent is not None:
        found.append(parent)
        parent = parents[parent]
    return found
