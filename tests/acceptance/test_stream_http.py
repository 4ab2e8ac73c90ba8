"""The stream as an HTTP resource: headers, refusals, and what an open one holds."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import httpx
import psutil
import pytest

from tests.rows import add_execution, one
from tests.servers import Stack, StartStack, add_user, wait_for
from tests.sse_client import open_stream

# Admissions, replay, rights, worker, and what /readyz and /metrics take.
MOST_CONNECTIONS = 8 + 4 + 1 + 1 + 2


def get(stack: Stack, token: str, **params: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.stream("GET", stack.stream_url, headers=headers, params=params) as answer:
        if answer.status_code != 200:
            answer.read()
        return answer


def test_it_opens_with_headers_that_no_proxy_may_buffer(stack: Stack) -> None:
    with open_stream(stack.stream_url, stack.token()) as stream:
        headers = stream.response.headers
        connected = json.loads(stream.connected.data)
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-cache, no-transform"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["Content-Encoding"] == "identity"
        assert stream.connected.retry == 2000
        assert stream.connected.id == f"{connected['epoch']}-{connected['seq']}"
        assert connected["heartbeat_seconds"] == 15
        lasts = datetime.fromisoformat(connected["expires_at"]) - datetime.now(UTC)
        assert timedelta(minutes=50) < lasts < timedelta(minutes=61)


def test_it_is_nowhere_but_where_it_is(stack: Stack) -> None:
    answer = httpx.get(f"{stack.url}/admin/api/v1/executions/stream")
    assert (answer.status_code, answer.next_request is not None) == (302, True)  # to sign in


@pytest.mark.parametrize(
    "value", ["-1", "0", "abc", "9" * 30, "", "1;drop", "1,x", "9223372036854775808"]
)
def test_it_names_a_wrong_execution_id(stack: Stack, value: str) -> None:
    answer = get(stack, stack.token(), execution_id=value)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert "execution_id" in answer.json()["detail"]


def test_it_names_an_unknown_parameter_and_a_wrong_status(stack: Stack) -> None:
    unknown = get(stack, stack.token(), executionid="1")
    assert (unknown.status_code, "executionid" in unknown.json()["detail"]) == (400, True)
    status = get(stack, stack.token(), status="nonsense")
    assert (status.status_code, "requested" in status.json()["detail"]) == (400, True)


def test_it_answers_alike_for_unknown_and_invisible_executions(stack: Stack) -> None:
    with stack.sql() as conn:
        conn.execute("INSERT INTO attune.pack (ref, restricted) VALUES ('secretpack', true)")
        hidden = add_execution(conn, "secretpack.run")
        add_user(stack.database_url, "overseer", is_superuser=True)
        unknown = get(stack, stack.token(), execution_id=str(10**12))
        invisible = get(stack, stack.token(), execution_id=str(hidden))
        assert unknown.status_code == invisible.status_code == 404
        assert unknown.content == invisible.content
        with (
            open_stream(stack.stream_url, stack.token()) as outsider,
            open_stream(stack.stream_url, stack.token("overseer")) as overseer,
        ):
            conn.execute("UPDATE attune.execution SET enforcement = 1 WHERE id = %s", [hidden])
            visible = add_execution(conn)
            assert {e["entity_id"] for e in outsider.until(visible, "requested")} >= {visible}
            assert hidden in {e["entity_id"] for e in overseer.until(visible, "requested")}
        with open_stream(stack.stream_url, stack.token(), last_event_id="earliest") as replayed:
            assert hidden not in {e["entity_id"] for e in replayed.until(visible, "requested")}


def test_it_refuses_whoever_may_not_come_in(stack: Stack) -> None:
    refresh = httpx.post(
        f"{stack.url}/api/v1/auth/token", json={"username": "alice", "password": "secret"}
    ).json()["refresh"]
    add_user(stack.database_url, "leaver")
    leaver = stack.token("leaver")
    with stack.sql() as conn:
        conn.execute("UPDATE attune.auth_user SET is_active = false WHERE username = 'leaver'")
    for token in (refresh, leaver, "garbage", "a.b.c", "é"):
        answer = httpx.get(stack.stream_url, headers={"Authorization": f"Bearer {token}".encode()})
        assert answer.status_code == 401, token
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json()["detail"]
    in_url = httpx.get(stack.stream_url, params={"access_token": stack.token()})
    assert in_url.status_code == 401


def test_it_only_reads(stack: Stack) -> None:
    answer = httpx.post(stack.stream_url, headers={"Authorization": f"Bearer {stack.token()}"})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


def test_it_ends_a_stream_with_its_token(start_stack: StartStack) -> None:
    own_stack = start_stack(ATTUNE_ACCESS_TOKEN_SECONDS="3")
    token = own_stack.token()
    with open_stream(own_stack.stream_url, token) as stream:
        closing = stream.next_frame()
        assert closing.event == "close"
        assert json.loads(closing.data) == {"reason": "token_expired", "reconnect": False}
        assert list(stream.frames) == []
    assert get(own_stack, token).status_code == 401


def test_it_sends_heartbeats_that_move_the_cursor(start_stack: StartStack) -> None:
    own_stack = start_stack(ATTUNE_HEARTBEAT_SECONDS="0.1")
    with own_stack.sql() as conn:
        execution = add_execution(conn)
        with open_stream(own_stack.stream_url, own_stack.token(), execution_id=execution) as stream:
            add_execution(conn)  # does not match
            last = one(conn, "SELECT currval('attune.execution_id_seq')")
            frames = (frame for frame in stream.frames if not frame.data)
            wanted = f"-{last}"  # as many events as executions so far
            assert any(
                frame.id.endswith(wanted) for frame, _ in zip(frames, range(100), strict=False)
            )


def test_it_notices_at_once_that_a_client_is_gone(stack: Stack) -> None:
    with open_stream(stack.stream_url, stack.token()):
        assert stack.metric("attune_streams") == 1
    wait_for(lambda: stack.metric("attune_streams") == 0, "the stream to be freed", seconds=2)


def test_it_holds_neither_thread_nor_connection_while_it_streams(stack: Stack) -> None:
    web = psutil.Process(stack.processes["web"].pid)
    token, count = stack.token(), 60
    with stack.sql() as conn:

        def held() -> int:
            return int(
                one(
                    conn,
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid() AND application_name <> 'attune worker'",
                )
            )

        streams = [open_stream(stack.stream_url, token) for _ in range(count)]
        try:
            for stream in streams:
                stream.__enter__()
            assert stack.metric("attune_streams") == count
            # The pools keep for a while what they once needed; no stream has one of its own.
            assert held() <= MOST_CONNECTIONS < count
            wait_for(lambda: web.num_threads() < 20, "threads to be given back")
        finally:
            for stream in streams:
                stream.__exit__(None, None, None)


def test_it_takes_few_connections_when_many_streams_open_at_once(stack: Stack) -> None:
    token, count, most = stack.token(), 80, 0
    with stack.sql() as conn, ThreadPoolExecutor(count) as pool, ExitStack() as streams:
        opening = [
            pool.submit(streams.enter_context, open_stream(stack.stream_url, token))
            for _ in range(count)
        ]
        while not all(future.done() for future in opening):
            held = one(
                conn,
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid()",
            )
            most = max(most, held)
        assert all(future.result() for future in opening)
        assert stack.metric("attune_streams") == count
    assert 0 < most <= MOST_CONNECTIONS


def test_it_says_try_again_without_the_log(own_stack: Stack) -> None:
    token = own_stack.token()
    with own_stack.sql() as conn:
        conn.execute("ALTER TABLE attune.stream_state RENAME TO away")
        own_stack.processes["worker"].stop()
        wait_for(lambda: get(own_stack, token).status_code == 503, "the log to be missed")
        answer = get(own_stack, token)
        conn.execute("ALTER TABLE attune.away RENAME TO stream_state")
    assert answer.headers["Retry-After"] == "2"
    assert answer.json()["detail"]
    ready = wait_for(
        lambda: (r := httpx.get(f"{own_stack.url}/readyz")).status_code == 503 and r,
        "the worker to be missed",
    )
    assert ready.json()["checks"]["worker"] != "ok"
    assert httpx.get(f"{own_stack.url}/healthz").status_code == 200
    no_worker = get(own_stack, token)
    assert (no_worker.status_code, no_worker.headers["Retry-After"]) == (503, "2")
    assert "worker" in no_worker.json()["detail"]
    own_stack.start_worker("next")
    wait_for(lambda: get(own_stack, token).status_code == 200, "the next worker")
