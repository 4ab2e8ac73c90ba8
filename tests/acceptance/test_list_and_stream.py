"""A list, and the stream from its X-Attune-Cursor, make the list as it is later."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from psycopg import sql

from tests.rows import Connection, add_execution, set_status
from tests.servers import Stack, add_user
from tests.sse_client import open_stream

STATUSES = ["requested", "running", "completed", "failed"]
MARK = "abandoned"  # what nothing else becomes
ROOTS = 3
PACK = st.integers(0, 3)
FEW = {"deadline": None, "suppress_health_check": list(HealthCheck)}

# How an execution is changed, and which: a number stands for one that was made before.
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), st.integers(0, 3), st.none() | st.integers(0, 9)),
        st.tuples(st.just("status"), st.integers(0, 9), st.sampled_from(STATUSES)),
        st.tuples(st.just("result"), st.integers(0, 9), st.integers(0, 3)),
        st.tuples(st.just("delete"), st.integers(0, 9), st.none()),
        st.tuples(st.just("action_ref"), st.integers(0, 9), st.tuples(PACK, st.just("run"))),
        st.tuples(st.just("parent"), st.integers(0, 9), st.none() | st.integers(0, 9)),
        st.tuples(st.just("tree"), st.integers(0, 9), st.none()),
    ),
    max_size=12,
)


def some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=3, unique=True)


FILTERS = st.fixed_dictionaries(
    {"pack": some(st.integers(0, 3))},  # always: other tests' rows are none of ours
    optional={
        "status": some(st.sampled_from(STATUSES)),
        "action_ref": some(st.tuples(st.integers(0, 3), st.sampled_from(["run", "r*", "*", "x"]))),
        "parent": some(st.integers(0, ROOTS - 1)),
        "root": some(st.integers(0, ROOTS - 1)),
        "execution_id": some(st.integers(0, ROOTS - 1)),
    },
)


@dataclass
class World:
    """Packs of its own, the last of them restricted, what runs there, and a marker.

    Every query here also asks for the marker, so that its last event ends a stream's reading.
    """

    conn: Connection
    packs: list[str] = field(default_factory=lambda: [f"w{uuid4().hex[:8]}{x}" for x in "abcdm"])
    made: list[int] = field(default_factory=list)
    marker: int = 0
    marker_parent: int = 0

    def build(self) -> None:
        self.conn.cursor().executemany(
            "INSERT INTO attune.pack (ref, restricted) VALUES (%s, %s)",
            [(pack, pack[-1] == "d") for pack in self.packs],
        )
        self.marker_parent = add_execution(self.conn, f"{self.packs[-1]}.run")
        self.marker = add_execution(self.conn, f"{self.packs[-1]}.run", parent=self.marker_parent)
        for number in range(ROOTS):  # which everybody sees, so that they may be asked for
            parent = self.made[-1] if number else None
            self.made.append(add_execution(self.conn, f"{self.packs[0]}.run", parent=parent))

    def change(self, kind: str, which: int, value: Any) -> None:
        chosen = self.made[which % len(self.made)]
        if kind in ("insert", "parent") and value is not None:
            value = self.made[value % len(self.made)]
        if kind == "insert":
            self.made.append(add_execution(self.conn, f"{self.packs[which]}.run", parent=value))
        elif kind == "delete":
            self.delete([chosen])
        elif kind == "tree":
            self.delete(self.below([chosen]))
        elif kind == "parent":
            self.move([chosen], value)
        elif kind == "action_ref":
            pack, name = value
            if chosen in self.made[:ROOTS]:
                pack %= 3  # else they could not be asked for any more
            self.conn.execute(
                "UPDATE attune.execution SET action_ref = %s WHERE id = %s",
                [f"{self.packs[pack]}.{name}", chosen],
            )
        else:
            column = sql.Identifier(kind)
            query = sql.SQL("UPDATE attune.execution SET {} = %s WHERE id = %s").format(column)
            self.conn.execute(query, [str(value), chosen])

    def delete(self, executions: list[int]) -> None:
        """Not what has been asked for."""
        children = self.select("parent = ANY (%s)", executions)
        orphans = [child for child in children if child not in executions]
        if not set(executions) & set(self.made[:ROOTS]) and not self.is_silent(orphans):
            self.conn.execute("DELETE FROM attune.execution WHERE id = ANY (%s)", [executions])
            self.made = [kept for kept in self.made if kept not in executions]

    def move(self, executions: list[int], parent: int | None) -> None:
        if not self.is_silent(executions):
            self.conn.execute(
                "UPDATE attune.execution SET parent = %s WHERE id = ANY (%s)", [parent, executions]
            )

    def is_silent(self, moving: list[int]) -> bool:
        """What is below one that may not be seen moves without a word: docs/stream.md says so."""
        hidden = self.select(f"action_ref LIKE '{self.packs[3]}.%%' AND id = ANY (%s)", moving)
        return bool(self.select("parent = ANY (%s)", hidden))

    def below(self, executions: list[int]) -> list[int]:
        while True:
            more = self.select("parent = ANY (%s)", executions)
            if set(more) <= set(executions):
                return executions
            executions = sorted({*executions, *more})

    def select(self, condition: str, ids: list[int]) -> list[int]:
        query = f"SELECT id FROM attune.execution WHERE {condition}"
        return [row[0] for row in self.conn.execute(query, [ids])]  # type: ignore[arg-type]

    def query(self, filters: dict[str, list[Any]]) -> dict[str, str]:
        made, pack = self.made, self.packs[-1]
        texts = {
            "pack": lambda of: [*(self.packs[n] for n in of), pack],
            "status": lambda of: [*of, MARK],
            "action_ref": lambda of: [*(f"{self.packs[n]}.{x}" for n, x in of), f"{pack}.run"],
            "parent": lambda of: [*(made[n] for n in of), self.marker_parent],
            "root": lambda of: [*(made[n] for n in of), self.marker_parent],
            "execution_id": lambda of: [*(made[n] for n in of), self.marker],
        }
        return {name: ",".join(map(str, texts[name](of))) for name, of in filters.items()}


def rows_of(listed: httpx.Response) -> dict[int, Any]:
    assert listed.status_code == 200, listed.text
    assert listed.json()["next"] is None
    return {row["id"]: (row["version"], summary(row)) for row in listed.json()["results"]}


def summary(row: dict[str, Any]) -> Any:
    keys = ("status", "action_ref", "action_id", "parent", "executor", "result", "started")
    return [str(row[key]).replace("Z", "+00:00") for key in keys]


def follow(
    rows: dict[int, Any],
    events: Iterable[dict[str, Any]],
    query: dict[str, str],
    list_anew: Callable[[], dict[int, Any]],
) -> dict[int, Any]:
    """Keep a list up to date as docs/stream.md says."""
    for event in events:
        data = event["data"]
        if event["version"] > rows.get(data["id"], (0,))[0]:
            if event["op"] == "DELETE" or not matches(data, query):
                rows.pop(data["id"], None)
            else:
                rows[data["id"]] = (event["version"], summary(data))
        if "root" in query and "old_parent" in event:
            rows = list_anew()
    return rows


def matches(data: dict[str, Any], query: dict[str, str]) -> bool:
    """Whether an execution belongs into the list, as far as that can be seen of it."""
    values = {
        **{"status": data["status"], "pack": data["action_ref"].partition(".")[0]},
        **{"action_ref": data["action_ref"], "parent": data["parent"]},
        "execution_id": data["id"],
    }
    return all(
        any(fnmatchcase(str(values[name]), one) for one in asked.split(","))
        for name, asked in query.items()
        if name in values
    )


@pytest.fixture
def tokens(stack: Stack) -> dict[str, str]:
    return tokens_of(stack)


def tokens_of(stack: Stack) -> dict[str, str]:
    """Of somebody who does not see restricted packs, and of one who does."""
    name = f"root{uuid4().hex[:8]}"
    add_user(stack.database_url, name, is_superuser=True)
    return {"alice": stack.token(), "root": stack.token(name)}


@examples(max_examples=40, **FEW)
@given(FILTERS, CHANGES, CHANGES, CHANGES)
def test_it_tells_by_a_stream_what_a_later_list_shows(
    stack: Stack,
    tokens: dict[str, str],
    filters: dict[str, list[Any]],
    before: list[Any],
    between: list[Any],
    after: list[Any],
) -> None:
    check(stack, tokens, filters, before, between, after)


def check(
    stack: Stack,
    tokens: dict[str, str],
    filters: dict[str, list[Any]],
    before: list[Any],
    between: list[Any],
    after: list[Any],
) -> None:
    """List, follow the stream from there, and list again."""
    with ExitStack() as opened:
        conn = opened.enter_context(stack.sql())
        api = opened.enter_context(httpx.Client(base_url=f"{stack.url}/api/v1/", timeout=30))
        world = World(conn)
        world.build()
        query = world.query(filters)

        def listed(user: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {tokens[user]}"}
            return api.get("executions", params={**query, "page_size": 500}, headers=headers)

        for change in before:
            world.change(*change)
        first = {user: listed(user) for user in tokens}
        rows = {user: rows_of(answer) for user, answer in first.items()}
        for change in between:
            world.change(*change)
        streams = {
            user: opened.enter_context(
                open_stream(
                    stack.stream_url,
                    tokens[user],
                    resume=answer.headers["X-Attune-Cursor"],
                    **query,
                )
            )
            for user, answer in first.items()
        }
        for change in after:
            world.change(*change)
        set_status(conn, world.marker, MARK)
        for user, stream in streams.items():
            told = stream.until(world.marker, MARK)
            found = follow(rows[user], told, query, lambda user=user: rows_of(listed(user)))
            assert found == rows_of(listed(user)), user
