"""Snapshot, end, and trees of executions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent

from tests.rows import add_execution, one, set_status
from tests.servers import Stack, StartStack, wait_for
from tests.sse_client import Stream, open_stream


@contextmanager
def sequencer_held(stack: Stack) -> Iterator[Callable[[], object]]:
    """Keep changes in the inbox, with the worker up, until the yielded function is called."""
    with stack.sql() as conn:
        conn.execute("BEGIN")
        conn.execute("SELECT FROM attune.stream_state FOR UPDATE")
        yield conn.rollback


def snapshot_of(frame: ServerSentEvent) -> dict[str, Any]:
    assert frame.event == "snapshot"
    data: dict[str, Any] = json.loads(frame.data)
    return data


def end_of(stream: Stream) -> list[dict[str, Any]]:
    """Return what the `end` frame says, and check that nothing follows."""
    frame = stream.next_frame()
    assert frame.event == "end", frame
    assert list(stream.frames) == []
    executions: list[dict[str, Any]] = json.loads(frame.data)["executions"]
    return executions


def cursor_after(stream: Stream, event: dict[str, Any]) -> str:
    """Return what a client that has had this event resumes from."""
    epoch = str(stream.connected.id).partition("-")[0]
    return f"{epoch}-{event['seq']}"


def status_code(stack: Stack, cursor: str | None, **params: Any) -> int:
    headers = {"Authorization": f"Bearer {stack.token()}"}
    if cursor is not None:
        headers["Last-Event-ID"] = cursor
    with httpx.stream("GET", stack.stream_url, headers=headers, params=params) as answer:
        return answer.status_code


def test_it_sends_the_state_first(stack: Stack) -> None:
    with stack.sql() as conn:
        parent = add_execution(conn)
        running = add_execution(conn, parent=parent, status="running")
        add_execution(conn, parent=parent)
        with open_stream(
            stack.stream_url, stack.token(), parent=parent, status="running", snapshot="true"
        ) as stream:
            frame = stream.next_frame()
            state = snapshot_of(frame)
            assert [row["entity_id"] for row in state["executions"]] == [running]
            assert state["executions"][0]["data"]["status"] == "running"
            assert state["executions"][0]["version"] == 1
            assert state["complete"] is True
            assert frame.id == stream.connected.id
            set_status(conn, running, "failed")
            assert [e["version"] for e in stream.until(running, "failed")] == [2]


def test_it_says_when_a_snapshot_was_cut(start_stack: StartStack) -> None:
    own_stack = start_stack(ATTUNE_SNAPSHOT_EXECUTIONS="3")
    with own_stack.sql() as conn:
        ids = [add_execution(conn) for _ in range(4)]
        with open_stream(own_stack.stream_url, own_stack.token(), snapshot="true") as stream:
            state = snapshot_of(stream.next_frame())
    assert [row["entity_id"] for row in state["executions"]] == ids[:0:-1]
    assert state["complete"] is False


def test_it_never_goes_back_behind_a_snapshot(own_stack: Stack) -> None:
    """Changes that are committed but not sequenced are in the snapshot; their events come."""
    with own_stack.sql() as conn, sequencer_held(own_stack) as let_go:
        first, second = add_execution(conn), add_execution(conn)
        set_status(conn, first, "running")
        with open_stream(own_stack.stream_url, own_stack.token(), snapshot="true") as stream:
            state = snapshot_of(stream.next_frame())
            versions = {row["entity_id"]: row["version"] for row in state["executions"]}
            assert versions == {first: 2, second: 1}
            assert one(conn, "SELECT count(*) FROM attune.execution_inbox") == 3
            let_go()
            set_status(conn, first, "completed")
            set_status(conn, second, "running")
            seen = stream.until(second, "running")
    assert [(e["entity_id"], e["version"]) for e in seen] == [(first, 3), (second, 2)]


def test_it_sends_every_event_of_what_a_cut_snapshot_left_out(start_stack: StartStack) -> None:
    own_stack = start_stack(ATTUNE_SNAPSHOT_EXECUTIONS="1")
    with own_stack.sql() as conn, sequencer_held(own_stack) as let_go:
        left_out, shown = add_execution(conn), add_execution(conn)
        with open_stream(own_stack.stream_url, own_stack.token(), snapshot="true") as stream:
            state = snapshot_of(stream.next_frame())
            assert [row["entity_id"] for row in state["executions"]] == [shown]
            let_go()
            set_status(conn, shown, "running")
            seen = stream.until(shown, "running")
    assert [(e["entity_id"], e["version"]) for e in seen] == [(left_out, 1), (shown, 2)]


def test_it_misses_nothing_between_snapshot_and_live(stack: Stack) -> None:
    with stack.sql() as conn:
        parent = add_execution(conn)
        for _ in range(5):
            children = [add_execution(conn, parent=parent) for _ in range(20)]
            params = {"parent": parent, "snapshot": "true"}
            with open_stream(stack.stream_url, stack.token(), **params) as stream:
                state = snapshot_of(stream.next_frame())
                for child in children:
                    set_status(conn, child, "running")
                versions = {row["entity_id"]: row["version"] for row in state["executions"]}
                for event in stream.until(children[-1], "running"):
                    assert event["version"] == versions.get(event["entity_id"], 0) + 1
                    versions[event["entity_id"]] = event["version"]
            assert all(versions[child] == 2 for child in children)


def test_it_ends_with_the_last_execution_it_watches(stack: Stack) -> None:
    with stack.sql() as conn:
        first, second = add_execution(conn), add_execution(conn)
        watched = {"execution_id": f"{first},{second}", "until": "terminal"}
        with open_stream(stack.stream_url, stack.token(), **watched) as stream:
            set_status(conn, first, "failed")
            assert stream.next()["entity_id"] == first
            set_status(conn, second, "running")
            set_status(conn, second, "completed")
            seen = stream.until(second, "completed")
            assert end_of(stream) == [
                {"id": first, "status": "failed"},
                {"id": second, "status": "completed"},
            ]
        last = cursor_after(stream, seen[-1])
        # The browser comes back by itself, and is told not to.
        assert status_code(stack, last, **watched) == 204
        # One that missed the end gets it.
        with open_stream(
            stack.stream_url, stack.token(), resume=stream.connected.id, **watched
        ) as late:
            assert [e["data"]["status"] for e in late.until(second, "completed")] == [
                "failed",
                "running",
                "completed",
            ]
            assert len(end_of(late)) == 2


def test_it_ends_at_once_where_all_has_ended(stack: Stack) -> None:
    with stack.sql() as conn:
        execution = add_execution(conn, status="completed")
        with open_stream(
            stack.stream_url, stack.token(), execution_id=execution, until="terminal"
        ) as stream:
            state = snapshot_of(stream.next_frame())
            assert [row["entity_id"] for row in state["executions"]] == [execution]
            assert end_of(stream) == [{"id": execution, "status": "completed"}]


def test_it_sends_one_terminal_event_whatever_follows(stack: Stack) -> None:
    with stack.sql() as conn:
        execution = add_execution(conn, status="running")
        with open_stream(
            stack.stream_url, stack.token(), execution_id=execution, until="terminal"
        ) as stream:
            with conn.transaction():
                for status in ("failed", "running", "completed"):
                    set_status(conn, execution, status)
            seen = stream.until(execution, "failed")
            assert len(end_of(stream)) == 1
    assert [e["data"]["status"] for e in seen][-1] == "failed"


def test_it_ends_when_the_execution_is_deleted(stack: Stack) -> None:
    with stack.sql() as conn:
        execution = add_execution(conn, status="running")
        with open_stream(
            stack.stream_url, stack.token(), execution_id=execution, until="terminal"
        ) as stream:
            conn.execute("DELETE FROM attune.execution WHERE id = %s", [execution])
            assert stream.next()["op"] == "DELETE"
            assert end_of(stream)


def test_it_follows_descendants_made_later(stack: Stack) -> None:
    with stack.sql() as conn:
        root, stranger = add_execution(conn), add_execution(conn)
        child = add_execution(conn, parent=root)
        watched = {"root": root, "until": "terminal", "snapshot": "true"}
        with open_stream(stack.stream_url, stack.token(), **watched) as stream:
            state = snapshot_of(stream.next_frame())
            assert {row["entity_id"] for row in state["executions"]} == {root, child}
            grandchild = add_execution(conn, parent=child)
            set_status(conn, stranger, "running")
            set_status(conn, child, "completed")
            set_status(conn, root, "completed")
            great = add_execution(conn, parent=grandchild)
            set_status(conn, grandchild, "failed")
            set_status(conn, great, "cancelled")
            seen = stream.until(great, "cancelled")
            assert {e["entity_id"] for e in seen} == {root, child, grandchild, great}
            assert {e["id"] for e in end_of(stream)} == {root, child, grandchild, great}


def test_it_waits_for_the_end_whatever_statuses_are_told(stack: Stack) -> None:
    with stack.sql() as conn:
        root = add_execution(conn, status="running")
        with open_stream(
            stack.stream_url, stack.token(), root=root, status="completed,failed", until="terminal"
        ) as stream:
            child = add_execution(conn, parent=root, status="requested")
            set_status(conn, root, "completed")
            set_status(conn, child, "running")
            set_status(conn, child, "failed")
            seen = stream.until(child, "failed")
            assert [(e["entity_id"], e["data"]["status"]) for e in seen] == [
                (root, "completed"),
                (child, "failed"),
            ]
            assert {e["id"] for e in end_of(stream)} == {root, child}


@pytest.mark.parametrize("knows_of_root", [True, False])
def test_it_tells_what_was_deleted_meanwhile_before_it_ends(
    stack: Stack, knows_of_root: bool
) -> None:
    with stack.sql() as conn:
        root = add_execution(conn, status="running")
        child = add_execution(conn, parent=root, status="running")
        watched = {"root": root, "until": "terminal"}
        with open_stream(stack.stream_url, stack.token(), **watched) as stream:
            last = stream.connected.id
            set_status(conn, root, "completed")
            seen = stream.until(root, "completed")
        if knows_of_root:
            last = cursor_after(stream, seen[-1])
        conn.execute("DELETE FROM attune.execution WHERE id = %s", [child])
        with open_stream(stack.stream_url, stack.token(), resume=last, **watched) as late:
            if not knows_of_root:
                late.until(root, "completed")
            deleted = late.next()
            assert (deleted["op"], deleted["entity_id"]) == ("DELETE", child)
            assert {e["id"] for e in end_of(late)} == {root, child}


def test_it_does_not_end_before_what_was_deleted_is_in_the_log(own_stack: Stack) -> None:
    with own_stack.sql() as conn:
        root = add_execution(conn, status="running")
        child = add_execution(conn, parent=root, status="running")
        watched = {"root": root, "until": "terminal"}
        with open_stream(own_stack.stream_url, own_stack.token(), **watched) as stream:
            set_status(conn, root, "completed")
            seen = stream.until(root, "completed")
        last = cursor_after(stream, seen[-1])
        with sequencer_held(own_stack) as let_go:
            conn.execute("DELETE FROM attune.execution WHERE id = %s", [child])
            with open_stream(
                own_stack.stream_url, own_stack.token(), resume=last, **watched
            ) as late:
                let_go()
                assert late.next()["op"] == "DELETE"
                assert {"id": root, "status": "completed"} in end_of(late)


def test_it_ends_for_who_has_seen_nothing_yet(own_stack: Stack) -> None:
    """Also where the events that would have told of it are gone."""
    with own_stack.sql() as conn:
        execution = add_execution(conn, status="completed")
        wait_for(lambda: one(conn, "SELECT last_seq FROM attune.stream_state") == 1, "the log")
        conn.execute("DELETE FROM attune.execution_event")
        conn.execute("UPDATE attune.stream_state SET floor_seq = 1")
        watched = {"execution_id": execution, "until": "terminal"}
        with open_stream(
            own_stack.stream_url, own_stack.token(), resume="earliest", **watched
        ) as stream:
            assert end_of(stream) == [{"id": execution, "status": "completed"}]


def test_it_tells_of_what_was_added_again_however_new_its_versions_are(own_stack: Stack) -> None:
    with own_stack.sql() as conn:
        execution = add_execution(conn)
        for number in range(9):
            conn.execute("UPDATE attune.execution SET enforcement = %s", [number])
        set_status(conn, execution, "completed")
        wait_for(lambda: one(conn, "SELECT last_seq FROM attune.stream_state") == 11, "the log")
        with sequencer_held(own_stack) as let_go:
            conn.execute("DELETE FROM attune.execution")
            conn.execute(
                "INSERT INTO attune.execution (id, action_ref, status) OVERRIDING SYSTEM VALUE"
                " VALUES (%s, 'tests.run', 'running')",
                [execution],
            )
            with open_stream(
                own_stack.stream_url, own_stack.token(), status="running", snapshot="true"
            ) as stream:
                state = snapshot_of(stream.next_frame())
                assert [row["version"] for row in state["executions"]] == [1]
                let_go()
                set_status(conn, execution, "failed")
                assert stream.until(execution, "failed")


@pytest.mark.parametrize("params", [{"root": 10**12}, {"execution_id": 10**12}])
def test_it_knows_no_such_execution(stack: Stack, params: dict[str, int]) -> None:
    assert status_code(stack, None, **params) == 404


def test_it_refuses_to_watch_more_than_it_can(start_stack: StartStack) -> None:
    own_stack = start_stack(ATTUNE_WATCHED_EXECUTIONS="2")
    with own_stack.sql() as conn:
        root = add_execution(conn)
        for _ in range(2):
            add_execution(conn, parent=root)
        assert status_code(own_stack, None, root=root, until="terminal") == 400


def test_it_replays_from_memory_without_asking_the_log(own_stack: Stack) -> None:
    with own_stack.sql() as conn:
        executions = [add_execution(conn) for _ in range(50)]
        wait_for(lambda: one(conn, "SELECT last_seq FROM attune.stream_state") == 50, "the log")
        token = own_stack.token()
        epoch = one(conn, "SELECT epoch FROM attune.stream_state")
        wait_for(lambda: own_stack.metric("attune_hub_events_total") == 50, "the hub")
        conn.execute("ALTER TABLE attune.execution_event RENAME TO away")  # cannot be read
        with open_stream(own_stack.stream_url, token, resume=f"{epoch}-10") as stream:
            seen = [stream.next()["entity_id"] for _ in range(40)]
        conn.execute("ALTER TABLE attune.away RENAME TO execution_event")
    assert seen == executions[10:]


def test_it_resets_once_the_state_can_be_read_again(own_stack: Stack) -> None:
    """A reset that cannot be told with its snapshot is told later, not never."""
    with own_stack.sql() as conn:
        execution = add_execution(conn)
        with open_stream(own_stack.stream_url, own_stack.token(), snapshot="true") as stream:
            before = snapshot_of(stream.next_frame())
            conn.execute(
                "ALTER FUNCTION attune.state_json_v1(attune.execution, integer) RENAME TO away"
            )
            conn.execute("UPDATE attune.stream_state SET epoch = 'beef', last_seq = 100")
            wait_for(lambda: "action=replay" in own_stack.processes["web"].output, "a failure")
            conn.execute(
                "ALTER FUNCTION attune.away(attune.execution, integer) RENAME TO state_json_v1"
            )
            reset = stream.next_frame()
            assert (reset.event, json.loads(reset.data)["reason"]) == ("reset", "epoch_changed")
            assert snapshot_of(stream.next_frame())["executions"] == before["executions"]
            set_status(conn, execution, "running")
            assert stream.next()["entity_id"] == execution
