"""The five cases of the system this reimplements, on a real server, worker and database."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import httpx
import psycopg

from tests.servers import Stack
from tests.sse_client import open_stream

ACTION = "test_sse_pack.test_action"


def add_action(conn: psycopg.Connection[tuple[Any, ...]]) -> int:
    conn.execute("INSERT INTO attune.pack (ref) VALUES ('test_sse_pack') ON CONFLICT DO NOTHING")
    row = conn.execute(
        "INSERT INTO attune.action (ref, pack, pack_ref)"
        " SELECT %s, id, ref FROM attune.pack WHERE ref = 'test_sse_pack'"
        " ON CONFLICT (ref) DO UPDATE SET label = 'test' RETURNING id",
        [ACTION],
    ).fetchone()
    assert row is not None
    return int(row[0])


def add_execution(conn: psycopg.Connection[tuple[Any, ...]]) -> int:
    row = conn.execute(
        "INSERT INTO attune.execution (action, action_ref) VALUES (%s, %s) RETURNING id",
        [add_action(conn), ACTION],
    ).fetchone()
    assert row is not None
    return int(row[0])


def set_status(conn: psycopg.Connection[tuple[Any, ...]], execution: int, status: str) -> None:
    conn.execute("UPDATE attune.execution SET status = %s WHERE id = %s", [status, execution])


def test_postgresql_notify_trigger_fires(conn: psycopg.Connection[tuple[Any, ...]]) -> None:
    action = add_action(conn)
    conn.execute("LISTEN attune_notifications")
    execution = add_execution(conn)
    set_status(conn, execution, "running")

    payloads = [json.loads(n.payload) for n in conn.notifies(timeout=10, stop_after=2)]

    assert [p["data"]["status"] for p in payloads] == ["requested", "running"]
    for payload in payloads:
        assert payload["entity_type"] == "execution"
        assert payload["entity_id"] == execution
        assert datetime.fromisoformat(payload["timestamp"]).utcoffset() is not None
        data = payload["data"]
        assert {"id", "status", "action_id", "action_ref", "result", "created", "updated"} <= set(
            data
        )
        assert (data["id"], data["action_id"], data["action_ref"]) == (execution, action, ACTION)
        assert data["result"] is None
        assert datetime.fromisoformat(data["created"]) <= datetime.fromisoformat(data["updated"])


def test_sse_stream_receives_execution_updates(stack: Stack) -> None:
    with stack.sql() as conn:
        execution = add_execution(conn)
        with open_stream(stack.stream_url, stack.token(), execution_id=execution) as stream:
            set_status(conn, execution, "running")
            running = stream.next()
            set_status(conn, execution, "completed")
            completed = stream.next()
    assert running["entity_id"] == completed["entity_id"] == execution
    assert (running["old_status"], running["data"]["status"]) == ("requested", "running")
    assert (completed["old_status"], completed["data"]["status"]) == ("running", "completed")
    assert completed["seq"] > running["seq"]
    assert completed["version"] == running["version"] + 1


def test_sse_stream_filters_by_execution_id(stack: Stack) -> None:
    with stack.sql() as conn:
        mine, other = add_execution(conn), add_execution(conn)
        with open_stream(stack.stream_url, stack.token(), execution_id=mine) as stream:
            set_status(conn, other, "running")
            set_status(conn, mine, "running")
            set_status(conn, other, "completed")
            set_status(conn, mine, "completed")
            seen = stream.until(mine, "completed")
    assert [(e["entity_id"], e["data"]["status"]) for e in seen] == [
        (mine, "running"),
        (mine, "completed"),
    ]


def test_sse_stream_all_executions(stack: Stack) -> None:
    with stack.sql() as conn:
        first, second = add_execution(conn), add_execution(conn)
        with open_stream(stack.stream_url, stack.token()) as stream:
            set_status(conn, first, "running")
            third = add_execution(conn)
            set_status(conn, second, "failed")
            seen = stream.until(second, "failed")
    # The two inserts were committed before, but perhaps not yet sequenced at connect.
    assert [(e["entity_id"], e["data"]["status"]) for e in seen if e["seq"] >= seen[-3]["seq"]] == [
        (first, "running"),
        (third, "requested"),
        (second, "failed"),
    ]


def test_sse_stream_requires_authentication(stack: Stack) -> None:
    for headers in ({}, {"Authorization": "Bearer garbage"}, {"Authorization": "Basic YTpi"}):
        answer = httpx.get(stack.stream_url, headers=headers)
        assert answer.status_code == 401, headers
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json()["detail"]
