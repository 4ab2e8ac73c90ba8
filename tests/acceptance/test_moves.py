"""Executions that get another action_ref or parent: who is told, and of what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.rows import Connection, add_execution, set_status
from tests.servers import Stack, add_user
from tests.sse_client import Stream, open_stream


@pytest.fixture
def conn(stack: Stack) -> Iterator[Connection]:
    with stack.sql() as connection:
        yield connection


@pytest.fixture
def vault(conn: Connection) -> str:
    """A restricted pack, which alice may not see."""
    name = f"vault{uuid4().hex[:8]}"
    conn.execute("INSERT INTO attune.pack (ref, restricted) VALUES (%s, true)", [name])
    return name


@pytest.fixture
def superuser(stack: Stack) -> str:
    name = f"root{uuid4().hex[:8]}"
    add_user(stack.database_url, name, is_superuser=True)
    return stack.token(name)


def rename(conn: Connection, execution: int, action_ref: str) -> None:
    conn.execute(
        "UPDATE attune.execution SET action_ref = %s WHERE id = %s", [action_ref, execution]
    )


def move(conn: Connection, execution: int, parent: int | None) -> None:
    conn.execute("UPDATE attune.execution SET parent = %s WHERE id = %s", [parent, execution])


def live_and_replayed(
    stack: Stack, stream: Stream, token: str, count: int, **filters: Any
) -> list[dict[str, Any]]:
    """Return the next events of a stream, and see that a client that comes later gets the same."""
    live = [stream.next_frame() for _ in range(count)]
    with open_stream(stack.stream_url, token, resume=stream.connected.id, **filters) as later:
        replayed = [later.next_frame() for _ in range(count)]
    assert [(f.id, f.data) for f in live] == [(f.id, f.data) for f in replayed]
    return [json.loads(frame.data) for frame in live]


def test_it_tells_a_deleted_parents_streams_of_its_children(stack: Stack, conn: Connection) -> None:
    root = add_execution(conn)
    parent = add_execution(conn, parent=root)
    child = add_execution(conn, parent=parent)
    with (
        open_stream(stack.stream_url, stack.token(), parent=parent) as by_parent,
        open_stream(stack.stream_url, stack.token(), root=root) as by_root,
    ):
        conn.execute("DELETE FROM attune.execution WHERE id = %s", [parent])
        (told,) = live_and_replayed(stack, by_parent, stack.token(), 1, parent=parent)
        assert (told["entity_id"], told["old_parent"], told["data"]["parent"]) == (
            *(child, parent),
            None,
        )
        events = live_and_replayed(stack, by_root, stack.token(), 2, root=root)
        assert [(e["op"], e["entity_id"]) for e in events] == [
            ("DELETE", parent),
            ("UPDATE", child),
        ]


def test_it_tells_both_packs_and_both_actions(stack: Stack, conn: Connection) -> None:
    mark = uuid4().hex[:8]
    execution = add_execution(conn, f"old{mark}.run")
    filters: list[dict[str, Any]] = [
        {"pack": f"old{mark}"},
        {"pack": f"new{mark}"},
        {"action_ref": f"old{mark}.*"},
        {"action_ref": f"new{mark}.run", "status": "requested"},
    ]
    for filter in filters:
        rename(conn, execution, f"old{mark}.run")
        with open_stream(stack.stream_url, stack.token(), **filter) as stream:
            rename(conn, execution, f"new{mark}.run")
            frame = stream.next()
            if frame["data"]["action_ref"] != f"new{mark}.run":
                frame = stream.next()  # the renaming back was still on its way
        assert frame["old_action_ref"] == f"old{mark}.run"
        assert "old_parent" not in frame


def test_it_shows_an_outsider_no_more_than_a_deletion(
    stack: Stack, conn: Connection, vault: str, superuser: str
) -> None:
    execution = add_execution(conn, "tests.run", status="running")
    filters = {"execution_id": execution}
    with (
        open_stream(stack.stream_url, stack.token(), **filters) as stream,
        open_stream(stack.stream_url, superuser, **filters) as all_of_it,
    ):
        conn.execute(
            "UPDATE attune.execution SET action_ref = %s, status = 'failed', result = %s"
            " WHERE id = %s",
            [f"{vault}.open", '"a secret"', execution],
        )
        (gone,) = live_and_replayed(stack, stream, stack.token(), 1, pack="tests")
        assert (gone["op"], gone["old_status"]) == ("DELETE", "running")
        assert (gone["data"]["status"], gone["data"]["action_ref"]) == ("running", "tests.run")
        assert not [word for word in (vault, "secret", "failed") if word in json.dumps(gone)]
        (full,) = live_and_replayed(stack, all_of_it, superuser, 1, **filters)
        assert (full["op"], full["old_action_ref"]) == ("UPDATE", "tests.run")
        assert full["data"]["result"] == "a secret"


def test_it_tells_an_outsider_nothing_of_before(
    stack: Stack, conn: Connection, vault: str, superuser: str
) -> None:
    mark = f"t{uuid4().hex[:8]}"
    execution = add_execution(conn, f"{vault}.open", status="running")
    with open_stream(stack.stream_url, stack.token(), pack=mark) as stream:
        rename(conn, execution, f"{mark}.run")
        (arrived,) = live_and_replayed(stack, stream, stack.token(), 1, pack=mark)
    assert arrived["old_status"] is None
    assert arrived["data"]["status"] == "running"
    assert vault not in json.dumps(arrived)
    url = f"{stack.url}/api/v1/executions/{execution}/events"
    for token, seen in ((stack.token(), [None]), (superuser, [None, f"{vault}.open"])):
        history = httpx.get(url, headers={"Authorization": f"Bearer {token}"}).json()["results"]
        assert [event.get("old_action_ref") for event in history] == seen
        assert (vault in json.dumps(history)) == (token == superuser)
    with open_stream(
        stack.stream_url, stack.token(), resume=stream.connected.id, pack=vault
    ) as by_old_pack:
        assert next(by_old_pack.frames).data == ""  # the heartbeat that ends a replay


def until_end(stream: Stream) -> list[dict[str, Any]]:
    """Read on to the `end` frame, and return what it says."""
    frame = next(frame for frame in stream.frames if frame.event != "message")
    assert frame.event == "end", frame
    executions: list[dict[str, Any]] = json.loads(frame.data)["executions"]
    return executions


def test_it_no_longer_waits_for_what_left_the_tree(stack: Stack, conn: Connection) -> None:
    root = add_execution(conn, status="completed")
    left = add_execution(conn, parent=root, status="completed")
    add_execution(conn, parent=left, status="running")
    with open_stream(stack.stream_url, stack.token(), root=root, until="terminal") as stream:
        move(conn, left, None)
        assert until_end(stream) == [{"id": root, "status": "completed"}]


def test_it_waits_for_what_joined_the_tree(stack: Stack, conn: Connection) -> None:
    root = add_execution(conn, status="running")
    joining = add_execution(conn, status="completed")
    below = add_execution(conn, parent=joining, status="running")
    with open_stream(stack.stream_url, stack.token(), root=root, until="terminal") as stream:
        move(conn, joining, root)
        set_status(conn, root, "completed")
        assert [stream.next()["entity_id"] for _ in range(2)] == [joining, root]
        set_status(conn, below, "failed")
        assert [(e["id"], e["status"]) for e in until_end(stream)] == [
            (root, "completed"),
            (joining, "completed"),
            (below, "failed"),
        ]


def test_it_no_longer_waits_for_what_left_below_something_invisible(
    stack: Stack, conn: Connection, vault: str
) -> None:
    root = add_execution(conn, status="completed")
    hidden = add_execution(conn, f"{vault}.open", parent=root)
    add_execution(conn, parent=hidden, status="running")
    with (
        open_stream(stack.stream_url, stack.token(), root=root, until="terminal") as stream,
        open_stream(stack.stream_url, stack.token(), root=root) as other,
    ):
        move(conn, hidden, None)
        frame = stream.next_frame()  # not a word of the hidden one
        assert (frame.event, json.loads(frame.data)["executions"]) == (
            "end",
            [{"id": root, "status": "completed"}],
        )
        set_status(conn, root, "failed")
        assert other.next()["entity_id"] == root
